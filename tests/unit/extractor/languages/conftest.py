"""Reads and links sources that a test states, through the parts that extraction uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from nanodex.extractor.languages import suffix_table
from nanodex.extractor.linker import Linker
from nanodex.extractor.parts import linking
from nanodex.extractor.program import Unit
from nanodex.extractor.records import Symbol, pack
from nanodex.extractor.tree_sitter_parser import parse

FIXTURES = Path(__file__).parents[3] / "fixtures" / "languages"
LANGUAGES = ("java", "typescript", "javascript", "cpp")


@dataclass(frozen=True)
class Linked:
    """What a person would say of the linked sources, by qualified names."""

    symbols: Mapping[str, Symbol]
    edges: frozenset[tuple[str, str, str, str]]  # relationship, source, target, rule
    unresolved: frozenset[tuple[str, str, str]]  # relationship, name, reason
    raises: frozenset[tuple[str, str, str]]  # exception, message, condition
    attributes: frozenset[tuple[str, str, str]]  # symbol, key, value
    kinds: Mapping[str, str]

    def targets(self, relationship: str, source: str) -> dict[str, str]:
        """Return target -> rule of the edges that leave `source`."""
        return {d: rule for r, s, d, rule in self.edges if r == relationship and s == source}


def link_sources(sources: Mapping[str, str]) -> Linked:
    suffixes = suffix_table(LANGUAGES)
    units = []
    for path, text in sorted(sources.items()):
        language, dialect = suffixes[PurePosixPath(path).suffix]
        record = parse(text.encode(), language=language, dialect=dialect)
        units.append(
            Unit(
                path, language, dialect, record.namespace, record.symbols,
                pack(record).bindings, pack(record).uses,
            )
        )  # fmt: skip
    linker = Linker(units)
    with linking(linker, workers=1) as units_of_rows:
        linked = list(units_of_rows)
    program = linker.program
    names = {node: symbol.name for symbol, node in linker.externals.items()}

    def name(node: int) -> str:
        return names.get(node) or program.qualified_name(node)

    nodes = [
        unit.first + index
        for unit in units
        for index in range(len(unit.symbols))
        if unit.first + index not in program.replaced
    ]
    return Linked(
        symbols={program.qualified_name(node): program.symbol(node) for node in nodes},
        edges=frozenset(
            (edge.relationship, name(edge.src), name(edge.dst), edge.rule)
            for one in linked
            for edge in one.edges
        ),
        unresolved=frozenset(
            (row.relationship, row.name, row.reason) for one in linked for row in one.unresolved
        ),
        raises=frozenset(
            (site.exception, site.message, site.condition)
            for one in linked
            for site in one.raise_sites
        ),
        attributes=frozenset(
            (program.qualified_name(one.first + a.source), a.key, a.value)
            for one in linked
            for a in one.attributes
        ),
        kinds={program.qualified_name(node): linker.kind(node) for node in nodes},
    )


@pytest.fixture(scope="session")
def link() -> Callable[..., Linked]:
    """Link sources given as path -> text."""
    return link_sources


@pytest.fixture(scope="session")
def package() -> Callable[[str], Linked]:
    """Link a package of tests/fixtures/languages."""

    def read(language: str) -> Linked:
        root = FIXTURES / language
        return link_sources(
            {
                path.relative_to(root).as_posix(): path.read_text()
                for path in sorted(root.rglob("*"))
                if path.is_file()
            }
        )

    return read
