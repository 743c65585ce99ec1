"""Links records to a graph: one pass for base classes, one for everything else, always whole.

Linking never looks at what was cached or in which order files came, so an incremental run gives
the same rows as a clean one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nanodex.extractor.languages import load_language
from nanodex.extractor.languages.protocol import External, Found, Language, Missing, Resolution
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Attribute, RaiseSite, Reference
from nanodex.extractor.resolver.hierarchy import CLASS_KINDS, class_kinds, inherited_name
from nanodex.extractor.resolver.testing import Tested, tests_of

_HIERARCHY = frozenset({"extends", "implements"})


class EdgeRow(NamedTuple):
    """A row of `edges`; fields in the order in which rows are sorted."""

    start_byte: int
    end_byte: int
    relationship: str
    src: int
    dst: int
    line: int
    rule: str
    conf: float
    path: str


class UnresolvedRow(NamedTuple):
    """A row of `refs_unresolved`; fields in the order in which rows are sorted."""

    start_byte: int
    end_byte: int
    relationship: str
    src: int
    name: str
    line: int
    reason: str
    path: str


class ExternalSymbol(NamedTuple):
    """A symbol outside the repository."""

    language: str
    name: str


class LinkedUnit(NamedTuple):
    """The rows that one file gives; none is there twice.

    An edge to `externals[i]` has `-1 - i` for its target: which node that is, is known once all
    files before this one are linked.
    """

    first: int  # node id of the file itself; sources of raise sites and attributes count from it
    path: str
    edges: list[EdgeRow]
    unresolved: list[UnresolvedRow]
    externals: list[ExternalSymbol]
    raise_sites: list[RaiseSite]
    attributes: list[Attribute]


@dataclass
class Linker:
    """Links `units`, which are in order of path."""

    units: Sequence[Unit]
    externals: dict[ExternalSymbol, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        names = sorted({unit.language for unit in self.units})
        self._languages: dict[str, Language] = {name: load_language(name) for name in names}
        for name, language in self._languages.items():
            own = [unit for unit in self.units if unit.language == name]
            module_names = language.names(own)
            for unit in own:
                unit.names = module_names[unit.path]
        self.program = Program(self.units)
        self._node_count = self.program.node_count
        self._tested = Tested(self.program)
        self._resolvers = {
            name: language.resolver(self.program) for name, language in self._languages.items()
        }
        self._link_bases()
        self._kinds = [""] + [symbol.kind for unit in self.units for symbol in unit.symbols]
        for node, kind in class_kinds(self.program, self._languages).items():
            self._kinds[node] = kind

    def kind(self, node: int) -> str:
        """Return the kind of a first-party node, which its ancestors may have refined."""
        return self._kinds[node]

    def _link_bases(self) -> None:
        for unit in self.units:
            if not any(symbol.kind in CLASS_KINDS for symbol in unit.symbols):
                continue
            resolver = self._resolvers[unit.language]
            for reference in unit.uses().references:
                if reference.relationship in _HIERARCHY:
                    answer = resolver.resolve(unit, reference)
                    self.program.bases[unit.first + reference.source].append(_base(answer))

    def link(self, unit: Unit) -> LinkedUnit:
        """Return the rows of one file, whichever files were linked before it."""
        uses = unit.uses()
        language, resolver = self._languages[unit.language], self._resolvers[unit.language]
        tests = tests_of(unit, language)
        edges = list(self._structure(unit))
        unresolved: list[UnresolvedRow] = []
        externals: dict[ExternalSymbol, int] = {}
        for reference in uses.references:
            answer = resolver.resolve(unit, reference)
            src = self.program.current(unit.first + reference.source)
            if isinstance(answer, Missing):
                unresolved.append(
                    UnresolvedRow(
                        reference.start_byte, reference.end_byte, reference.relationship,
                        src, reference.name, reference.line, answer.reason, unit.path,
                    )
                )  # fmt: skip
                continue
            if isinstance(answer, External):
                symbol = ExternalSymbol(unit.language, answer.name)
                edges.append(
                    EdgeRow(
                        reference.start_byte, reference.end_byte,
                        answer.relationship or reference.relationship, src,
                        externals.setdefault(symbol, -1 - len(externals)),
                        reference.line, answer.rule, answer.conf, unit.path,
                    )
                )  # fmt: skip
                continue
            edge = self._edge(unit, reference, answer, src)
            edges.append(edge)
            if reference.source in tests and self._tested.is_tested(
                language, relationship=edge.relationship, target=edge.dst
            ):
                test = unit.first + tests[reference.source]
                edges.append(edge._replace(relationship="tests", src=test, rule="used by test"))
        return LinkedUnit(
            unit.first,
            unit.path,
            edges=list(dict.fromkeys(edges)),
            unresolved=sorted(dict.fromkeys(unresolved)),
            externals=list(externals),
            raise_sites=uses.raise_sites,
            attributes=uses.attributes,
        )

    def number(self, linked: LinkedUnit) -> LinkedUnit:
        """Give external symbols their nodes, in the order in which files are handed in."""
        first = self._node_count + 1
        nodes = [
            self.externals.setdefault(symbol, first + len(self.externals))
            for symbol in linked.externals
        ]
        edges = [
            edge if edge.dst > 0 else edge._replace(dst=nodes[-1 - edge.dst])
            for edge in linked.edges
        ]
        # Most are in the order of their place already.
        return linked._replace(edges=sorted(edges))

    def _structure(self, unit: Unit) -> Iterator[EdgeRow]:
        adopted, current = self.program.adopted, self.program.current
        for node, symbol in enumerate(unit.symbols, unit.first):
            if symbol.parent >= 0 and node not in adopted:
                yield EdgeRow(
                    symbol.name_start, symbol.name_end, "defines", unit.first + symbol.parent,
                    current(node), symbol.start_line, "syntax", 1.0, unit.path,
                )  # fmt: skip
        language = self._languages[unit.language]
        for override in inherited_name(self.program, language, unit):
            symbol = self.program.symbol(override.method)
            yield EdgeRow(
                symbol.name_start, symbol.name_end, "overrides",
                current(override.method), override.inherited, symbol.start_line,
                override.rule, override.conf, unit.path,
            )  # fmt: skip

    def _edge(self, unit: Unit, reference: Reference, answer: Found, src: int) -> EdgeRow:
        relationship = answer.relationship or reference.relationship
        kind = self._kinds[answer.node]
        if relationship == "calls" and kind in CLASS_KINDS:
            relationship = "instantiates"
        elif relationship == "extends" and kind == "interface" and self._kinds[src] != kind:
            relationship = "implements"
        return EdgeRow(
            reference.start_byte, reference.end_byte, relationship, src, answer.node,
            reference.line, answer.rule, answer.conf, unit.path,
        )  # fmt: skip


def _base(answer: Resolution) -> int | str | None:
    match answer:
        case Found(node=node):
            return node
        case External(name=name):
            return name
        case Missing():
            return None
