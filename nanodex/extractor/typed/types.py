"""Types as written, followed to the classes that they name: aliases, bases, type variables."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from nanodex.extractor.program import Program, Unit
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.terms import Term, decode
from nanodex.extractor.typed.values import (
    Meaning,
    Nodes,
    Outside,
    Type,
    Unknown,
    Value,
    substitute,
)

CLASSES = frozenset({"class", "interface", "enum", "exception"})
CALLABLES = frozenset({"function", "method"})
VALUES = frozenset({"variable", "constant"})


class Place(NamedTuple):
    """Where a name is read: the file, the symbol whose scope it is in, and the byte."""

    unit: Unit
    scope: int
    at: int


class TypeReader(ABC):
    """Resolves type terms; how a name is looked up is left to the evaluator."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._bases: dict[int, tuple[Type | None, ...]] = {}
        self._open: set[tuple[int, int, str]] = set()

    @abstractmethod
    def lookup(self, name: str, place: Place, want: str) -> Meaning:
        """Look a simple name up."""

    @abstractmethod
    def member(self, base: Meaning, name: str, want: str) -> Meaning:
        """Find member `name` of what a term meant."""

    def type_of(self, term: Term | None, place: Place) -> Type | None:
        """Resolve a type term; None where it is not known."""
        if term is None or term.op != "type":
            return None
        arguments = tuple(self.type_of(part, place) for part in term.parts)
        if term.text == "[]" or term.at < 0:  # A byte below zero marks a name that is absolute.
            return Type(term.text, arguments)
        return self.named_type(self.name_of_type(term, place), arguments)

    def name_of_type(self, term: Term, place: Place) -> Meaning:
        """Say what the name in a type term means, without its arguments."""
        first, *rest = term.text.split(".")
        meaning = self.lookup(first, place._replace(at=term.at), "type" if not rest else "scope")
        for position, segment in enumerate(rest):
            last = position == len(rest) - 1
            meaning = self.member(meaning, segment, "type" if last else "scope")
        return meaning

    def named_type(self, meaning: Meaning, arguments: tuple[Type | None, ...]) -> Type | None:
        """Turn the meaning of a type's name into the type; aliases are followed."""
        match meaning:
            case Outside(name=name):
                return Type(name, arguments)
            case Value(type=type_):
                return type_
            case Nodes(nodes=nodes):
                node = nodes[0]
                if self.program.symbol(node).kind in CLASSES:
                    return Type(node, arguments)
                alias = forms.alias(self.program, node)
                key = (node, 0, "alias")
                if alias is None or key in self._open:
                    return None
                self._open.add(key)
                try:
                    return self.type_of(alias, self.place_of(node))
                finally:
                    self._open.discard(key)
        return None

    def place_of(self, node: int) -> Place:
        """Return the place at which the type of `node` is written."""
        unit = self.program.unit_of(node)
        symbol = unit.symbols[node - unit.first]
        return Place(unit, node - unit.first, symbol.name_start)

    def supers(self, node: int) -> tuple[Type | None, ...]:
        """Return the direct bases of a class as types; None for one that is not known."""
        known = self._bases.get(node)
        if known is None:
            self._bases[node] = ()  # A class that is its own ancestor ends here.
            place = self.place_of(node)
            # The head of a class is read outside of it, but knows its type variables.
            known = tuple(self.type_of(term, place) for term in forms.bases(self.program, node))
            self._bases[node] = known
        return known

    def lineage(self, type_: Type) -> Iterator[Type | None]:
        """Yield `type_` and its bases, nearest first, each once; None for one not known."""
        queue: list[Type | None] = [type_]
        seen: set[object] = set()
        for current in queue:
            yield current
            if current is None or not isinstance(current.target, int) or current.target in seen:
                continue
            seen.add(current.target)
            bound = self._bound(current, current.target)
            queue.extend(
                substitute(base, bound) if base else None for base in self.supers(current.target)
            )

    def _typed(self, term: Term, place: Place, *, rule: str) -> Meaning:
        type_ = self.type_of(term, place)
        if type_ is None:
            return Unknown("UnknownType")
        if isinstance(type_.target, tuple):
            limit = self._limit(type_.target)
            return Value(limit, rule, 1.0) if limit else Unknown("TypeVariable")
        return Value(type_, rule, 1.0)

    def _limit(self, variable: tuple[int, str]) -> Type | None:
        unit = self.program.unit_of(variable[0])
        for binding in unit.scope(variable[0] - unit.first).get(variable[1], ()):
            if binding.form in forms.TYPE_VARIABLE and binding.value is not None:
                limit = self.type_of(decode(binding.value), self.place_of(variable[0]))
                return limit if limit and not isinstance(limit.target, tuple) else None
        return None

    def _bound(self, receiver: Type | None, node: int) -> dict[tuple[int, str], Type | None]:
        """Bind the type variables of the class of `receiver` to its arguments."""
        if receiver is None or not isinstance(receiver.target, int) or not receiver.arguments:
            return {}
        names = forms.type_variables(self.program, receiver.target)
        return {
            (receiver.target, name): argument
            for name, argument in zip(names, receiver.arguments, strict=False)
        }
