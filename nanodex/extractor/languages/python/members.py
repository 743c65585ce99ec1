"""Attributes, items, elements and results of values: where classes and their bases are searched."""

from typing import TYPE_CHECKING

from nanodex.extractor.languages.python.values import (
    CONFIDENCE,
    MAPPINGS,
    PROPERTIES,
    TUPLES,
    Value,
    Values,
    external_instance,
    unique,
)
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding

if TYPE_CHECKING:
    from nanodex.extractor.languages.python.inference import Inference

# Bases that define nothing a program calls by name.
_BARE_BASES = frozenset(
    {
        "builtins.object",
        "typing.Generic",
        "typing.Protocol",
        "abc.ABC",
        "typing_extensions.Protocol",
    }
)
_MANAGERS = ("contextmanager", "asynccontextmanager")
_BUILTIN_CLASSES = frozenset(
    name for name, value in vars(__import__("builtins")).items() if isinstance(value, type)
)


class Members:
    """Looks into values; created by and calling back into one `Inference`."""

    def __init__(self, inference: "Inference") -> None:
        self._inference = inference
        self._program: Program = inference.program
        self._scopes = inference.scopes

    def attribute(self, owner: Value, name: str) -> Values:
        """Return what `owner.name` stands for."""
        match owner.kind:
            case "instance" | "class" | "super instance" | "super class":
                return self._of_class(owner, name)
            case "external":
                return (owner.renamed(f"{owner.name}.{name}"),)
            case "external instance":
                return self._of_external(owner, name)
            case "module":
                return self._of_module(owner, name)
            case "package":
                found = self._inference.imports.submodule(f"{owner.name}.{name}")
                return self._inference.defined(found) if found else ()
        return ()

    def _of_module(self, owner: Value, name: str) -> Values:
        unit = self._program.unit_of(owner.node)
        found = self._inference.imports.member(unit, name)
        if found is None:
            found = self._inference.imports.submodule(f"{unit.names.module}.{name}")
        if found is None:
            return ()
        return tuple(value.by(owner.rule, owner.conf) for value in self._inference.defined(found))

    def _of_external(self, owner: Value, name: str) -> Values:
        if owner.name in MAPPINGS and len(owner.arguments) == 2 and name in {"get", "pop"}:
            return (Value("result", name=f"{owner.name}.{name}", arguments=(owner.arguments[1],)),)
        if owner.name in MAPPINGS and len(owner.arguments) == 2 and name in {"values", "items"}:
            key, value = owner.arguments
            pair: Values = (Value("tuple", arguments=(key, value)),)
            element = value if name == "values" else pair
            result = external_instance("builtins.list", element)
            return (Value("result", name=f"{owner.name}.{name}", arguments=(result,)),)
        return (owner._replace(kind="external", name=f"{owner.name}.{name}", arguments=()),)

    def _of_class(self, owner: Value, name: str) -> Values:
        chain = self._program.linearization(owner.node)
        chain = chain[1:] if owner.kind.startswith("super") else chain
        certain, outside = True, ""
        for base in chain:
            if not isinstance(base, int):
                if base not in _BARE_BASES:
                    certain = certain and base is not None
                    outside = outside or (base or "")
                continue
            found = self._own(base, name, owner)
            if found:
                weaker = 1.0 if certain and not outside else 0.9 if certain else 0.85
                rule = owner.rule if base == owner.node else f"{owner.rule}, inherited"
                conf = min(owner.conf, weaker)
                return tuple(
                    v.known(rule, min(v.conf, conf)) if v.kind == "function"
                    else v.by(owner.rule, conf)
                    for v in found
                )  # fmt: skip
        if outside and certain:
            return (Value("external", name=f"{outside}.{name}", rule=f"{owner.rule}, external base",
                          conf=min(owner.conf, 0.9)),)  # fmt: skip
        return ()

    def _own(self, class_node: int, name: str, owner: Value) -> Values:
        """Return what the class body and assignments to `self` say of `name`, bases not asked."""
        unit = self._program.unit_of(class_node)
        known = self._scopes.name(unit, class_node - unit.first, name)
        if known is None:
            return ()
        if known.elsewhere.definitions:
            by_instance = owner.kind.endswith("instance")
            index = known.elsewhere.definitions[-1]
            symbol = unit.symbols[index]
            if symbol.kind == "class":
                return (Value("class", unit.first + index),)
            if by_instance and any(_is_property(text) for text in symbol.decorators):
                return self._self_type(self.result(unit.first + index), owner)
            receiver = ("instance" if by_instance else "class", owner.node)
            return (Value("function", unit.first + index, receiver=receiver),)
        bindings = known.attributes
        declared = [b for b in bindings if b.form.endswith("annotation")]
        found = [v for binding in declared or bindings for v in self._bound(unit, binding)]
        return self._self_type(unique(found), owner)

    def _bound(self, unit: Unit, binding: Binding) -> Values:
        by_self = binding.form.startswith("self ")
        rule = "self attribute" if by_self else "class attribute"
        values = self._inference.bound(unit, binding)
        return tuple(value.by(rule, CONFIDENCE[rule]) for value in values)

    def variable(self, node: int) -> Values:
        """Return what a variable of a module or class holds, seen from elsewhere."""
        unit = self._program.unit_of(node)
        symbol = unit.symbols[node - unit.first]
        return self._inference.seen_elsewhere(unit, symbol.parent, symbol.name) or ()

    def called(self, function: Value) -> Values:
        """Return what calling a value gives."""
        match function.kind:
            case "class":
                made = function._replace(kind="instance")
                return (made,)
            case "instance":
                return self.result_of(function, "__call__")
            case "function":
                return self._returned(function)
            case "result":
                return function.arguments[0]
            case "external" if function.name.removeprefix("builtins.") in _BUILTIN_CLASSES:
                return external_instance(function.name)
        return ()

    def _returned(self, function: Value) -> Values:
        values = self.result(function.node)
        kind, node = function.receiver or ("", 0)
        owner = Value("instance", node, rule=function.rule, conf=function.conf) if kind else None
        values = self._self_type(values, owner)
        return tuple(value.by(function.rule, function.conf) for value in values)

    def _self_type(self, values: Values, owner: Value | None) -> Values:
        """Put the receiver where a type says `Self`."""
        if not any(value.kind == "self type" for value in values):
            return values
        if owner is None or not owner.node:
            return tuple(value for value in values if value.kind != "self type")
        return tuple(
            Value("instance", owner.node, rule="return annotation",
                  conf=min(owner.conf, CONFIDENCE["return annotation"]))
            if value.kind == "self type" else value
            for value in values
        )  # fmt: skip

    def result(self, node: int) -> Values:
        """Return what a function gives: its annotation, or else what its returns evaluate to."""
        return self._inference.keeper.answer(node, lambda: self._result(node))

    def _result(self, node: int) -> Values:
        unit = self._program.unit_of(node)
        index = node - unit.first
        symbol = unit.symbols[index]
        bindings = unit.scope(index).get("<result>", ())
        annotation = next((b for b in bindings if b.form == "returns"), None)
        if annotation is not None:
            rule = "return annotation"
            values = self._inference.annotated(unit, annotation.value, scope=symbol.parent)
        else:
            rule = "inferred return"
            values = self._inferred(unit, index)
        if any(text.rpartition(".")[2] in _MANAGERS for text in symbol.decorators):
            yielded = unique([v for value in values for v in self.element(value)])
            values = (Value("manager", arguments=(yielded,)),)
        return tuple(value.by(rule, CONFIDENCE[rule]) for value in values)

    def _inferred(self, unit: Unit, index: int) -> Values:
        returned: list[Value] = []
        yielded: list[Value] = []
        generator = False
        for binding in unit.scope(index).get("<result>", ()):
            if binding.form not in {"return", "yield"}:
                continue
            values = self._inference.evaluate(
                unit, binding.value, scope=index, at=binding.start_byte
            )
            generator = generator or binding.form == "yield"
            (yielded if binding.form == "yield" else returned).extend(values)
        if generator:
            return external_instance("typing.Generator", unique(yielded))
        return unique(returned)

    def result_of(self, owner: Value, method: str) -> Values:
        """Return what an implicit call of a method of `owner` gives."""
        if owner.kind not in {"instance", "super instance"}:
            return (owner,) if owner.kind == "external instance" and owner.name in {
                "builtins.str", "builtins.bytes", "pathlib.Path",
            } else ()  # fmt: skip
        found = self.attribute(owner, method)
        return unique([v for f in found if f.kind == "function" for v in self._returned(f)])

    def item(self, owner: Value, key: object) -> Values:
        """Return `owner[key]`."""
        if owner.kind == "class":
            return (owner,)
        if owner.kind == "external":
            return (owner,)
        if owner.kind == "instance":
            return self.result_of(owner, "__getitem__")
        if owner.kind == "tuple" or owner.name in TUPLES:
            match key:
                case ["int", int(position)]:
                    return self.unpacked(owner, position)
            return ()
        if owner.name in MAPPINGS and len(owner.arguments) == 2:
            return owner.arguments[1]
        return self.element(owner) if len(owner.arguments) == 1 else ()

    def element(self, owner: Value) -> Values:
        """Return what iterating over `owner` gives."""
        if owner.kind == "tuple":
            return unique([v for item in owner.arguments for v in item])
        if owner.kind == "instance":
            for method in ("__iter__", "__aiter__"):
                iterators = self.result_of(owner, method)
                if iterators:
                    if any(v.kind == "instance" and v.node == owner.node for v in iterators):
                        return self.result_of(owner, "__next__")
                    return unique([v for it in iterators for v in self.element(it)])
            return ()
        if owner.kind == "external instance" and owner.arguments:
            return owner.arguments[0]
        return ()

    def entered(self, owner: Value) -> Values:
        """Return what `with owner as name` binds."""
        if owner.kind == "manager":
            return owner.arguments[0]
        if owner.kind == "instance":
            return self.result_of(owner, "__enter__") or self.result_of(owner, "__aenter__")
        return ()

    def unpacked(self, owner: Value, position: int) -> Values:
        """Return item `position` of `owner` when it is taken apart."""
        if owner.kind == "tuple" or owner.name in TUPLES:
            if position < len(owner.arguments):
                return owner.arguments[position]
            return ()
        return self.element(owner)


def _is_property(decorator: str) -> bool:
    return decorator in PROPERTIES or decorator.endswith(("property", ".getter"))
