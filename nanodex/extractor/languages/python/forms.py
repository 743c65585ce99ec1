"""What each form of an expression stands for; `expressions` says which forms there are.

Each function evaluates one form, called by and calling back into one `Inference`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nanodex.extractor.languages.python.values import (
    NONE,
    PASS_THROUGH,
    Value,
    Values,
    external_instance,
    unique,
)
from nanodex.extractor.program import Unit
from nanodex.extractor.records import Expr

if TYPE_CHECKING:
    from nanodex.extractor.languages.python.inference import Inference

# The program, the file and the scope that an expression stands in, and the byte of its evaluation.
Form = Callable[["Inference", Unit, Expr, int, int | None], Values]


def _name(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return inference.named(unit, form[1], scope=scope, at=at)


def _attribute(
    inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None
) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    name, attribute = form[2], inference.members.attribute
    if len(owners) == 1:
        return unique(attribute(owners[0], name))
    return unique([v for owner in owners for v in attribute(owner, name)])


def _call(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    _, function, arguments = form
    called = inference.evaluate(unit, function, scope=scope, at=at)
    return unique([v for f in called for v in _result(inference, f, unit, arguments, scope, at)])


def _result(
    inference: "Inference",
    function: Value,
    unit: Unit,
    arguments: list[Expr | None],
    scope: int,
    at: int | None,
) -> Values:
    """Return what calling a value gives; some functions of the library give their argument back."""
    if function.kind != "external":
        return inference.members.called(function)
    first = arguments[0] if arguments else None
    name = function.name
    if name in {"typing.cast", "typing_extensions.cast"}:
        return inference.annotated(unit, first, scope=scope)
    if name in PASS_THROUGH or name in {"builtins.next", "builtins.enumerate"}:
        values = inference.evaluate(unit, first, scope=scope, at=at)
        if name.startswith("copy."):
            return values
        elements = unique([v for value in values for v in inference.members.element(value)])
        if name == "builtins.next":
            return elements
        if name == "builtins.enumerate":
            pair = Value("tuple", arguments=(external_instance("builtins.int"), elements))
            return external_instance(name, (pair,))
        return external_instance(name, elements)
    if name == "builtins.type" and len(arguments) == 1:
        values = inference.evaluate(unit, first, scope=scope, at=at)
        return tuple(v._replace(kind="class") for v in values if v.kind == "instance")
    return inference.members.called(function)


def _annotated(
    inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None
) -> Values:
    return inference.annotated(unit, form[1], scope=scope)


def _inside(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    _, inner_scope, inner = form
    return inference.evaluate(unit, inner, scope=inner_scope, at=at)


def _literal(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return external_instance(f"builtins.{form[1]}")


def _none(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return NONE


def _union(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return unique(
        [v for part in form[1:] for v in inference.evaluate(unit, part, scope=scope, at=at)]
    )


def _super(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return inference.above(unit, scope)


def _import(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return inference.imported(unit, form)


def _tuple(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    items = tuple(inference.evaluate(unit, item, scope=scope, at=at) for item in form[1:])
    return (Value("tuple", arguments=items, rule="literal"),)


def _display(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    element = inference.evaluate(unit, form[2], scope=scope, at=at)
    return external_instance(f"builtins.{form[1]}", element)


def _dict(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return external_instance(
        "builtins.dict",
        inference.evaluate(unit, form[1], scope=scope, at=at),
        inference.evaluate(unit, form[2], scope=scope, at=at),
    )


def _operator(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    return unique([v for o in owners for v in inference.members.result_of(o, form[2])])


def _item(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    return unique([v for o in owners for v in inference.members.item(o, form[2])])


def _element(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    return unique([v for o in owners for v in inference.members.element(o)])


def _entered(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    return unique([v for o in owners for v in inference.members.entered(o)])


def _unpacked(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    owners = inference.evaluate(unit, form[1], scope=scope, at=at)
    return unique([v for o in owners for v in inference.members.unpacked(o, form[2])])


def _unknown(inference: "Inference", unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
    return ()


FORMS: Mapping[str, Form] = {
    "n": _name, "a": _attribute, "c": _call, "t": _annotated, "in": _inside, "k": _literal,
    "none": _none, "u": _union, "super": _super, "im": _import, "tup": _tuple, "lit": _display,
    "map": _dict, "b": _operator, "i": _item, "e": _element, "x": _entered, "s": _unpacked,
    "int": _unknown,
}  # fmt: skip
