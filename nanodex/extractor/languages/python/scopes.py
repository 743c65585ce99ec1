"""Which bindings of a name reach a place: lexical scopes, and order of statements within one."""

from collections.abc import Iterator
from typing import NamedTuple

from nanodex.extractor.program import Unit
from nanodex.extractor.records import Binding

_FUNCTIONS = frozenset({"function", "method"})
_DEFINITIONS = frozenset({"function", "method", "class"})


class Reached(NamedTuple):
    """What one scope says of a name at a place."""

    scope: int
    definitions: list[int]  # indexes of nested functions and classes of that name
    bindings: list[Binding]
    declared: Binding | None  # the annotation of the name in that scope, if it has one


def visible_scopes(unit: Unit, scope: int) -> Iterator[int]:
    """Yield scopes from the innermost out; a class body is visible from itself only."""
    current = scope
    while current >= 0:
        symbol = unit.symbols[current]
        if current == scope or symbol.kind != "class":
            yield current
        current = symbol.parent


def reach(unit: Unit, scope: int, name: str, *, at: int | None) -> Reached | None:
    """Return what `scope` itself says of `name`; None if nothing.

    Args:
        unit: the file.
        scope: index of a module, class or function.
        name: the name.
        at: the byte where it is used; None looks from elsewhere, so every binding counts.
    """
    nested, bound = unit.nested(scope).get(name, ()), unit.scope(scope).get(name, ())
    if not nested and not bound:
        return None
    definitions = [index for index in nested if unit.symbols[index].kind in _DEFINITIONS]
    bindings = [b for b in bound if not b.form.startswith("self ")]
    if not definitions and not bindings:
        return None
    declared = next((b for b in bindings if b.form == "annotation"), None)
    if at is not None:
        bindings = _reaching(bindings, at)
    else:
        bindings = [b for b in bindings if b.form != "narrowed"]
    if declared is not None and at is None:
        bindings = [declared]
    return Reached(scope, definitions, bindings, declared)


def _reaching(bindings: list[Binding], at: int) -> list[Binding]:
    """Return the last binding that certainly ran before `at`, and those after it that may have."""
    last = -1
    for position, binding in enumerate(bindings):
        if binding.start_byte < at <= binding.block_end:
            last = position
    if last < 0:
        return [b for b in bindings if b.form != "narrowed"]
    later = [b for b in bindings[last + 1 :] if b.start_byte < at and b.form != "narrowed"]
    return [bindings[last], *later]
