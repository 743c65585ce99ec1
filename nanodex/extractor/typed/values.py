"""What a term can turn out to mean."""

from typing import NamedTuple

# A first-party class by node id, the dotted name of one from outside, or a type variable: the node
# that declares it and its name.
Target = int | str | tuple[int, str]


class Type(NamedTuple):
    """A type with its arguments; an argument that is not known is None."""

    target: Target
    arguments: tuple["Type | None", ...] = ()


class Nodes(NamedTuple):
    """Declarations of this repository: more than one where a name is overloaded."""

    nodes: tuple[int, ...]
    rule: str
    conf: float
    receiver: Type | None = None  # what a member was found on: it binds the type variables


class Value(NamedTuple):
    """A value of a known type."""

    type: Type
    rule: str
    conf: float


class Outside(NamedTuple):
    """Something outside this repository, by its real dotted name."""

    name: str
    rule: str
    conf: float


class Unknown(NamedTuple):
    """No rule says what it is; the reason is a CamelCase word."""

    reason: str


Meaning = Nodes | Value | Outside | Unknown


def substitute(type_: Type | None, bound: dict[tuple[int, str], Type | None]) -> Type | None:
    """Replace the type variables in `type_` that `bound` knows; others stay."""
    if type_ is None or not bound:
        return type_
    if isinstance(type_.target, tuple):
        return bound.get(type_.target, type_)
    if not type_.arguments:
        return type_
    return Type(type_.target, tuple(substitute(part, bound) for part in type_.arguments))
