"""Which bindings of a name reach a place: lexical scopes, and order of statements within one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nanodex.extractor.languages.python.values import Values
from nanodex.extractor.program import Unit
from nanodex.extractor.records import Binding

_DEFINITIONS = frozenset({"function", "method", "class"})


class Reached(NamedTuple):
    """What one scope says of a name at a place."""

    definitions: list[int]  # indexes of nested functions and classes of that name
    bindings: list[Binding]
    declared: Binding | None  # the annotation of the name in that scope, if it has one


@dataclass(slots=True)
class Name:
    """All that one scope says of one name, in source order."""

    bindings: list[Binding]
    attributes: list[Binding]  # the bindings, and assignments to the name as attribute of `self`
    elsewhere: Reached  # what is seen from outside the scope's own flow
    local: bool  # the name means something in the scope; else it is only an attribute of `self`
    ordered: bool  # the order of statements decides what reaches a place inside
    values: Values | None = None  # what `elsewhere` stands for, once that is known for certain

    def reaching(self, at: int) -> Reached:
        """Return what reaches the byte `at` in the scope's own flow."""
        if not self.ordered:
            return self.elsewhere
        definitions, _, declared = self.elsewhere
        return Reached(definitions, _reaching(self.bindings, at), declared)


def visible_scopes(unit: Unit, scope: int) -> Iterator[int]:
    """Yield scopes from the innermost out; a class body is visible from itself only."""
    while scope >= 0:
        yield scope
        scope = around(unit, scope)


def around(unit: Unit, scope: int) -> int:
    """Return the scope whose names are seen from `scope` where it has none; -1 beyond a module."""
    symbols = unit.symbols
    scope = symbols[scope].parent
    while scope > 0 and symbols[scope].kind == "class":
        scope = symbols[scope].parent
    return scope


class Scopes:
    """The names of all scopes; each is gathered when it is first asked for, and kept."""

    def __init__(self) -> None:
        # By node id of the scope. A name that None stands for is there, but nobody has asked yet.
        self._names: dict[int, dict[str, Name | None]] = {}

    def name(self, unit: Unit, scope: int, name: str) -> Name | None:
        """Return all that `scope` itself says of `name`; None if nothing.

        Args:
            unit: the file.
            scope: index of a module, class or function.
            name: the name.
        """
        names = self._names.get(unit.first + scope)
        if names is None:
            names = dict.fromkeys([*unit.scope(scope), *unit.nested(scope)])
            self._names[unit.first + scope] = names
        if name not in names:
            return None
        known = names[name]
        if known is None:
            known = names[name] = _gather(unit, scope, name)
        return known


def _gather(unit: Unit, scope: int, name: str) -> Name:
    symbols = unit.symbols
    nested = unit.nested(scope).get(name, ())
    definitions = [index for index in nested if symbols[index].kind in _DEFINITIONS]
    attributes = unit.scope(scope).get(name, [])
    bindings = [b for b in attributes if not b.form.startswith("self ")]
    declared = [b for b in bindings if b.form == "annotation"]
    seen = declared[:1] or _unnarrowed(bindings)
    return Name(
        bindings,
        attributes,
        elsewhere=Reached(definitions, seen, declared[0] if declared else None),
        local=bool(definitions or bindings),
        # A definition counts wherever it stands, and so does a single binding.
        ordered=not definitions and (len(bindings) > 1 or seen != bindings),
    )


def _unnarrowed(bindings: list[Binding]) -> list[Binding]:
    """Leave out what a condition says of a name for its own block alone."""
    return [b for b in bindings if b.form != "narrowed"]


def _reaching(bindings: list[Binding], at: int) -> list[Binding]:
    """Return the last binding that certainly ran before `at`, and those after it that may have."""
    for last in range(len(bindings) - 1, -1, -1):
        if bindings[last].start_byte < at <= bindings[last].block_end:
            later = _unnarrowed([b for b in bindings[last + 1 :] if b.start_byte < at])
            return [bindings[last], *later]
    return _unnarrowed(bindings)
