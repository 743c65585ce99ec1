"""The whole program while it is linked: every file's definitions, addressed by node id.

Node ids are given in order of path and of appearance, so that a run over the same files gives the
same ids whatever was cached and however the work was spread over processes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from msgspec import Raw

from nanodex.extractor.records import (
    Binding,
    Symbol,
    Uses,
    unpack_bindings,
    unpack_scopes,
    unpack_uses,
)

# A resolved base class: a first-party node, the dotted name of an external one, or None (unknown).
Base = int | str | None


class UnitNames(NamedTuple):
    """How a file's symbols are called.

    The module's own qualified name is `module`; every other symbol's is `prefix`, a dot and its
    local name, or the local name alone where `prefix` is empty. `label` is the module's simple
    name; empty: the last part of `module`.
    """

    module: str
    prefix: str
    label: str = ""


_UNNAMED = UnitNames("", "")


@dataclass(slots=True)
class Unit:
    """One parsed file."""

    path: str
    language: str
    dialect: str
    namespace: str
    symbols: list[Symbol]
    packed_bindings: bytes
    packed_uses: bytes
    first: int = 0  # node id of symbols[0]
    names: UnitNames = _UNNAMED
    _packed_scopes: dict[int, Raw] | None = field(default=None, repr=False)
    _scopes: dict[int, dict[str, list[Binding]]] = field(default_factory=dict, repr=False)
    _nested: dict[int, dict[str, list[int]]] | None = field(default=None, repr=False)

    def qualified_name(self, index: int) -> str:
        """Return the dotted name of symbol `index`."""
        local_name = self.symbols[index].local_name
        if not local_name:
            return self.names.module
        return f"{self.names.prefix}.{local_name}" if self.names.prefix else local_name

    def uses(self) -> Uses:
        """Decode the references; they are not kept."""
        return unpack_uses(self.packed_uses)

    def scope(self, index: int) -> Mapping[str, list[Binding]]:
        """Return the bindings of a scope by name, in source order."""
        known = self._scopes.get(index)
        if known is None:
            known = self._scopes[index] = self._unpacked(index)
        return known

    def _unpacked(self, index: int) -> dict[str, list[Binding]]:
        # A function's scope is mostly asked for by those who link the function alone.
        if self._packed_scopes is None:
            self._packed_scopes = unpack_scopes(self.packed_bindings)
        names: dict[str, list[Binding]] = {}
        packed = self._packed_scopes.get(index)
        for binding in unpack_bindings(packed) if packed is not None else ():
            names.setdefault(binding.name, []).append(binding)
        return names

    def nested(self, index: int) -> Mapping[str, list[int]]:
        """Return the indexes of the symbols that symbol `index` directly encloses, by name."""
        if self._nested is None:
            nested: dict[int, dict[str, list[int]]] = {}
            for child, symbol in enumerate(self.symbols):
                nested.setdefault(symbol.parent, {}).setdefault(symbol.name, []).append(child)
            self._nested = nested
        return self._nested.get(index, {})


@dataclass
class Program:
    """All units, their symbols by node id, and the class hierarchy once it is linked."""

    units: Sequence[Unit]
    by_path: dict[str, Unit] = field(init=False)
    bases: dict[int, list[Base]] = field(default_factory=lambda: defaultdict(list))
    # Declarations whose place a definition elsewhere has taken, and who then encloses it.
    replaced: dict[int, int] = field(default_factory=dict)
    adopted: dict[int, int] = field(default_factory=dict)
    # The file of each node: asked for every step from one definition to another.
    _unit_of: list[Unit] = field(init=False)
    _linearizations: dict[int, tuple[Base, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = 1
        self.by_path = {unit.path: unit for unit in self.units}
        self._unit_of = [*self.units[:1]]  # there is no node 0
        for unit in self.units:
            unit.first = first
            self._unit_of.extend([unit] * len(unit.symbols))
            first += len(unit.symbols)

    @cached_property
    def by_qualified_name(self) -> Mapping[str, Sequence[int]]:
        """Nodes by dotted name, in order of path; not every language asks for it."""
        nodes: dict[str, list[int]] = {}
        for unit in self.units:
            for index in range(len(unit.symbols)):
                nodes.setdefault(unit.qualified_name(index), []).append(unit.first + index)
        return nodes

    @property
    def node_count(self) -> int:
        """Number of first-party nodes; their ids are 1 to this."""
        return sum(len(unit.symbols) for unit in self.units)

    def unit_of(self, node: int) -> Unit:
        """Return the file that defines `node`."""
        return self._unit_of[node]

    def symbol(self, node: int) -> Symbol:
        """Return the definition of `node`."""
        unit = self._unit_of[node]
        return unit.symbols[node - unit.first]

    def parent(self, node: int) -> int | None:
        """Return the enclosing node; None for a module."""
        if node in self.adopted:
            return self.adopted[node]
        unit = self.unit_of(node)
        parent = unit.symbols[node - unit.first].parent
        return None if parent < 0 else unit.first + parent

    def adopt(self, declaration: int, definition: int) -> None:
        """Let `definition` stand for `declaration`, as where C++ has them in two files.

        The declaration is no node of the graph any more; its documentation, visibility and class go
        to the definition. Called by a language before it returns its resolver.
        """
        declared, unit = self.symbol(declaration), self.unit_of(definition)
        index = definition - unit.first
        defined = unit.symbols[index]
        unit.symbols[index] = defined._replace(
            kind=declared.kind,
            docstring=defined.docstring or declared.docstring,
            visibility=declared.visibility,
        )
        self.replaced[declaration] = definition
        enclosing = self.unit_of(declaration).first + declared.parent
        if self.symbol(enclosing).kind != "module":
            self.adopted[definition] = enclosing

    def current(self, node: int) -> int:
        """Return the node that stands for `node` in the graph."""
        return self.replaced.get(node, node)

    def qualified_name(self, node: int) -> str:
        """Return the dotted name of `node`."""
        unit = self.unit_of(node)
        return unit.qualified_name(node - unit.first)

    def children(self, node: int) -> Mapping[str, list[int]]:
        """Return the nodes that `node` directly encloses, by name, in source order."""
        unit = self.unit_of(node)
        nested = unit.nested(node - unit.first)
        return {
            name: [self.current(unit.first + i) for i in found] for name, found in nested.items()
        }

    def members(self, node: int, name: str) -> list[int]:
        """Return the nodes called `name` that `node` directly encloses, in source order."""
        unit = self.unit_of(node)
        found = unit.nested(node - unit.first).get(name, ())
        return [self.current(unit.first + index) for index in found]

    def linearization(self, node: int) -> tuple[Base, ...]:
        """Return the class itself and its bases in the order of lookup (C3; depth first if none).

        External bases stand as their dotted names, unknown ones as None.
        """
        known = self._linearizations.get(node)
        if known is None:
            # Entered before the recursion: a class that is its own ancestor ends there.
            self._linearizations[node] = (node,)
            known = self._linearizations[node] = self._linearize(node)
        return known

    def _linearize(self, node: int) -> tuple[Base, ...]:
        bases = list(self.bases.get(node, ()))
        sequences: list[list[Base]] = [
            list(self.linearization(base)) if isinstance(base, int) else [base] for base in bases
        ]
        return (node, *_merge([*sequences, bases]))


def _merge(sequences: Iterable[list[Base]]) -> list[Base]:
    merged: list[Base] = []
    rest = [sequence for sequence in sequences if sequence]
    while rest:
        heads = [sequence[0] for sequence in rest]
        tails = {base for sequence in rest for base in sequence[1:]}
        chosen = next((head for head in heads if head not in tails), heads[0])
        merged.append(chosen)
        rest = [[base for base in sequence if base != chosen] for sequence in rest]
        rest = [sequence for sequence in rest if sequence]
    return merged
