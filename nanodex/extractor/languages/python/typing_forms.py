"""What an annotation says: `Foo`, `"Foo"`, `Foo | None`, `list[Foo]`, `type[Foo]`, `Self` ..."""

from typing import TYPE_CHECKING

from nanodex.extractor.languages.python.values import (
    CLASS_TYPES,
    NONE,
    SELF_TYPES,
    TRANSPARENT,
    Value,
    Values,
    unique,
)
from nanodex.extractor.program import Unit
from nanodex.extractor.records import Expr

if TYPE_CHECKING:
    from nanodex.extractor.languages.python.inference import Inference

_ALIASES = {
    "typing.List": "builtins.list", "typing.Set": "builtins.set", "typing.Dict": "builtins.dict",
    "typing.Tuple": "builtins.tuple", "typing.Text": "builtins.str",
}  # fmt: skip
# Special forms that say nothing about a value.
_SILENT = frozenset(
    {"typing.Any", "typing.Callable", "collections.abc.Callable", "typing.TypeVar",
     "typing.NoReturn", "typing.Never",
     "typing.Literal", "builtins.object", "typing_extensions.Literal"}
)  # fmt: skip


def instances(inference: "Inference", unit: Unit, form: Expr | None, *, scope: int) -> Values:
    """Return what has the type `form`, an expression of `expressions.annotation`."""
    match form:
        case None:
            return ()
        case ["none"]:
            return NONE
        case ["u", *parts]:
            return unique(
                [v for part in parts for v in instances(inference, unit, part, scope=scope)]
            )
        case ["tup", *_]:
            return ()
        case ["i", base, ["tup", *items]]:
            return _generic(inference, unit, base, items, scope)
    found: list[Value] = []
    for value in inference.evaluate(unit, form, scope=scope, at=None):
        found.extend(instance_of(value))
    return unique(found)


def instance_of(value: Value, arguments: tuple[Values, ...] = ()) -> Values:
    """Return an instance of a class that an annotation names."""
    if value.kind == "class":
        return (value._replace(kind="instance", arguments=arguments or value.arguments),)
    if value.kind == "external":
        name = _ALIASES.get(value.name, value.name)
        if name in SELF_TYPES:
            return (Value("self type"),)
        if name in _SILENT:
            return ()
        return (value._replace(kind="external instance", name=name, arguments=arguments),)
    if value.kind == "type alias":
        return value.arguments[0]
    return ()


def _generic(
    inference: "Inference", unit: Unit, base: Expr, items: list[Expr | None], scope: int
) -> Values:
    found: list[Value] = []
    for value in inference.evaluate(unit, base, scope=scope, at=None):
        if value.kind == "external" and value.name in TRANSPARENT:
            found.extend(instances(inference, unit, items[0] if items else None, scope=scope))
        elif value.kind == "external" and value.name == "typing.Union":
            for item in items:
                found.extend(instances(inference, unit, item, scope=scope))
        elif value.kind == "external" and value.name in CLASS_TYPES:
            inner = instances(inference, unit, items[0] if items else None, scope=scope)
            found.extend(v._replace(kind="class") for v in inner if v.kind == "instance")
        else:
            arguments = tuple(instances(inference, unit, item, scope=scope) for item in items)
            found.extend(instance_of(value, arguments))
    return unique(found)
