"""Answers references of Python: each answer names the weakest rule that it rests on."""

from collections.abc import Sequence

from nanodex.extractor.languages.protocol import External, Found, Missing, Resolution
from nanodex.extractor.languages.python.imports import Definition, Imports, Unknown
from nanodex.extractor.languages.python.inference import Inference
from nanodex.extractor.languages.python.values import CONFIDENCE, Value, Values
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Expr, Reference

_NAMED_BY_IMPORT = frozenset({"import", "re-export", "star import"})
_CALLABLE = frozenset({"class", "function", "external"})


class PythonResolver:
    """Resolves references of Python files."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._imports = Imports(program)
        self._inference = Inference(program, self._imports)

    def resolve(self, unit: Unit, reference: Reference) -> Resolution:
        """Resolve one reference of `unit`."""
        target = reference.target
        if target is None:
            return Missing("DynamicTarget")
        if reference.relationship == "imports":
            return self._import(unit, target)
        values = self._inference.evaluate(
            unit, target, scope=reference.scope, at=reference.start_byte
        )
        raises = reference.relationship == "raises"
        if raises:
            if not values and target[0] == "c":
                # An instance of a class that we cannot see; by its name it is a class at least.
                called = self._inference.evaluate(
                    unit, target[1], scope=reference.scope, at=reference.start_byte
                )
                values = tuple(v for v in called if v.name.rpartition(".")[2][:1].isupper())
            values = tuple(raised for value in values if (raised := _raised(value)))
        if not values:
            return Missing(self._reason(unit, reference, target))
        if raises:
            return _answer(values)
        if reference.relationship == "extends":
            return _answer([value for value in values if value.kind in {"class", "external"}])
        callees = [value if value.kind in _CALLABLE else self._called(value) for value in values]
        return self._certain(reference, _answer(callees))

    def _certain(self, reference: Reference, answer: Resolution) -> Resolution:
        """Trust less in a callee that is called by another name than its own.

        A variable held it, a function returned it, or `__call__` stands behind it: what runs is a
        matter of values, not of names. An import under another name is still that name.
        """
        if not isinstance(answer, Found) or answer.rule in _NAMED_BY_IMPORT:
            return answer
        if reference.name.rpartition(".")[2] == self._program.symbol(answer.node).name:
            return answer
        return Found(answer.node, f"{answer.rule}, called value", min(answer.conf, 0.8))

    def _import(self, unit: Unit, target: Expr) -> Resolution:
        answer = self._imports.resolve(unit, target)
        match answer:
            case Unknown(reason=reason):
                return Missing(reason)
            case Definition(external=True, name=name):
                return External(name, "import", 1.0)
            case Definition(node=None):
                return Missing("NamespacePackage")
            case Definition(node=int(node), rule=rule):
                return Found(node, rule, CONFIDENCE[rule])
        return Missing("NoSuchName")

    def _called(self, value: Value) -> Value | None:
        """Return what runs when something is called that is no definition."""
        if value.kind == "instance":
            return self._inference.method(value.node, "__call__", value)
        return None

    def _reason(self, unit: Unit, reference: Reference, target: Expr) -> str:
        if target[0] == "n":
            return self._inference.why_unknown(unit, target[1], scope=reference.scope)
        if target[0] == "a":
            receiver = self._inference.evaluate(
                unit, target[1], scope=reference.scope, at=reference.start_byte
            )
            return _receiver_reason(receiver)
        return "DynamicTarget"


def _raised(value: Value) -> Value | None:
    """`raise C`, `raise C()` and `raise error` all raise a class."""
    if value.kind == "instance":
        return value._replace(kind="class")
    if value.kind in {"external", "external instance"}:
        return value._replace(kind="external")
    return value if value.kind == "class" else None


def _receiver_reason(receiver: Values) -> str:
    if not receiver:
        return "UnknownReceiver"
    if any(value.kind.startswith("external") for value in receiver):
        return "ExternalReceiver"
    return "NoSuchAttribute"


def _answer(values: Sequence[Value | None]) -> Resolution:
    known = [value for value in values if value is not None]
    if not known:
        return Missing("NotCallable")
    value, *others = known
    if others and any(o.node != value.node or o.name != value.name for o in others):
        return Missing("SeveralTargets")
    if value.node:
        return Found(value.node, value.rule, value.conf)
    return External(value.name, value.rule, value.conf)
