"""Follows expressions of Python to what they stand for, across files. Nothing is guessed.

Each step carries the weakest rule used so far. Recursion is bounded by depth and by refusing to
enter what is being evaluated already, so that hostile or circular sources end as unknown.
"""

from nanodex.extractor.languages.python import typing_forms
from nanodex.extractor.languages.python.imports import Definition, Imports
from nanodex.extractor.languages.python.members import Members
from nanodex.extractor.languages.python.scopes import Reached, reach, visible_scopes
from nanodex.extractor.languages.python.values import (
    BUILTINS,
    CONFIDENCE,
    NONE,
    PASS_THROUGH,
    Value,
    Values,
    external_instance,
    unique,
)
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Expr

_MAX_DEPTH = 24
_MAX_ALTERNATIVES = 6


class Inference:
    """Evaluates expressions over one program."""

    def __init__(self, program: Program, imports: Imports) -> None:
        self.program = program
        self.imports = imports
        self.members = Members(self)
        self._bindings: dict[tuple[int, int, str, int], Values] = {}
        self._globals: dict[tuple[int, str], Values] = {}
        self._busy: set[tuple[int, int, str, int]] = set()
        self._depth = 0

    def evaluate(self, unit: Unit, form: Expr | None, *, scope: int, at: int | None) -> Values:
        """Return what an expression may stand for; () when that is unknown.

        Args:
            unit: the file that it stands in.
            form: see `expressions`.
            scope: index of the symbol whose names it sees.
            at: byte at which it is evaluated; None for a place outside the scope's own flow.
        """
        if form is None or self._depth >= _MAX_DEPTH:
            return ()
        self._depth += 1
        try:
            return self._evaluate(unit, form, scope, at)[:_MAX_ALTERNATIVES]
        finally:
            self._depth -= 1

    def _evaluate(self, unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
        # The two forms that nearly all others end in come before the slower matching.
        if form[0] == "n":
            return self._name(unit, form[1], scope, at)
        if form[0] == "a":
            owners = self.evaluate(unit, form[1], scope=scope, at=at)
            return unique([v for owner in owners for v in self.members.attribute(owner, form[2])])
        match form:
            case ["c", function, arguments]:
                called = self.evaluate(unit, function, scope=scope, at=at)
                return unique(
                    [v for f in called for v in self._call(f, unit, arguments, scope, at)]
                )
            case ["t", inner]:
                return self.annotated(unit, inner, scope=scope)
            case ["in", int(inner_scope), inner]:
                return self.evaluate(unit, inner, scope=inner_scope, at=at)
            case ["k", str(name)]:
                return external_instance(f"builtins.{name}")
            case ["none"]:
                return NONE
            case ["u", *parts]:
                return unique(
                    [v for p in parts for v in self.evaluate(unit, p, scope=scope, at=at)]
                )
            case ["super"]:
                return self._super(unit, scope)
            case ["im", *_]:
                return self._imported(unit, form)
        return self._container(unit, form, scope, at)

    def _container(self, unit: Unit, form: Expr, scope: int, at: int | None) -> Values:
        match form:
            case ["tup", *items]:
                parts = tuple(self.evaluate(unit, item, scope=scope, at=at) for item in items)
                return (Value("tuple", arguments=parts, rule="literal"),)
            case ["lit", str(name), inner]:
                element = self.evaluate(unit, inner, scope=scope, at=at)
                return external_instance(f"builtins.{name}", element)
            case ["map", key, value]:
                return external_instance(
                    "builtins.dict",
                    self.evaluate(unit, key, scope=scope, at=at),
                    self.evaluate(unit, value, scope=scope, at=at),
                )
            case ["b", left, str(dunder), *_]:
                owners = self.evaluate(unit, left, scope=scope, at=at)
                return unique([v for o in owners for v in self.members.result_of(o, dunder)])
            case ["i", inner, key]:
                owners = self.evaluate(unit, inner, scope=scope, at=at)
                return unique([v for o in owners for v in self.members.item(o, key)])
            case ["e", inner]:
                owners = self.evaluate(unit, inner, scope=scope, at=at)
                return unique([v for o in owners for v in self.members.element(o)])
            case ["x", inner]:
                owners = self.evaluate(unit, inner, scope=scope, at=at)
                return unique([v for o in owners for v in self.members.entered(o)])
            case ["s", inner, int(position)]:
                owners = self.evaluate(unit, inner, scope=scope, at=at)
                return unique([v for o in owners for v in self.members.unpacked(o, position)])
        return ()

    def _name(self, unit: Unit, name: str, scope: int, at: int | None) -> Values:
        for visible in visible_scopes(unit, scope):
            if visible == 0 and scope != 0:
                return self._global(unit, name)
            reached = reach(unit, visible, name, at=at if visible == scope else None)
            if reached is not None:
                return self.reached(unit, reached)
        return self._outside_scopes(unit, name)

    def _global(self, unit: Unit, name: str) -> Values:
        """Return what a name of the module means inside functions: asked most, so kept."""
        known = self._globals.get((unit.first, name))
        if known is None:
            reached = reach(unit, 0, name, at=None)
            if reached is None:
                known = self._outside_scopes(unit, name)
            else:
                known = self.reached(unit, reached)
            if known or not self._busy:
                self._globals[unit.first, name] = known
        return known

    def _outside_scopes(self, unit: Unit, name: str) -> Values:
        starred = self.imports.member(unit, name)
        if starred is not None:
            return self.defined(starred)
        if name in BUILTINS:
            return (Value("external", name=f"builtins.{name}", rule="builtin"),)
        return ()

    def why_unknown(self, unit: Unit, name: str, *, scope: int) -> str:
        """Say why a name has no value: UnknownName, CalledParameter or UnknownValue."""
        for visible in visible_scopes(unit, scope):
            reached = reach(unit, visible, name, at=None)
            if reached is not None:
                forms = {binding.form for binding in reached.bindings}
                return "CalledParameter" if "parameter" in forms else "UnknownValue"
        return "UnknownName"

    def reached(self, unit: Unit, reached: Reached) -> Values:
        """Return what the bindings and definitions that reach a place stand for."""
        if reached.definitions:
            return (self.symbol_value(unit.first + reached.definitions[-1]),)
        found: list[Value] = []
        for binding in reached.bindings:
            found.extend(self.bound(unit, binding))
        if not found and reached.declared is not None:
            found.extend(self.bound(unit, reached.declared))
        return unique(found)

    def bound(self, unit: Unit, binding: Binding) -> Values:
        """Return what one binding gives its name."""
        key = (unit.first, binding.scope, binding.name, binding.start_byte)
        known = self._bindings.get(key)
        if known is not None:
            return known
        if key in self._busy:
            return ()
        self._busy.add(key)
        try:
            values = self._bound(unit, binding)
        finally:
            self._busy.discard(key)
        # What was cut short by depth or by a circle says nothing about the name elsewhere.
        if values or (not self._busy and self._depth < _MAX_DEPTH // 2):
            self._bindings[key] = values
        return values

    def _bound(self, unit: Unit, binding: Binding) -> Values:
        if binding.form == "import":
            return self._imported(unit, binding.value)
        if binding.form == "self":
            return self._self(unit, binding.scope)
        if binding.form in {"parameter", "variadic"}:
            return ()
        values = self.evaluate(unit, binding.value, scope=binding.scope, at=binding.start_byte)
        rules = {"annotation": "annotation", "narrowed": "narrowing", "assign": "assignment"}
        rule = rules.get(binding.form.removeprefix("self "))
        if binding.form == "assign" and binding.value and binding.value[0] == "n":
            return values
        return tuple(v.by(rule, CONFIDENCE[rule]) for v in values) if rule else values

    def _self(self, unit: Unit, scope: int) -> Values:
        symbol = unit.symbols[scope]
        by_class = "classmethod" in symbol.decorators or symbol.name in {
            "__new__", "__init_subclass__", "__class_getitem__",
        }  # fmt: skip
        kind = "class" if by_class else "instance"
        return (Value(kind, unit.first + symbol.parent, rule="self", conf=CONFIDENCE["self"]),)

    def _super(self, unit: Unit, scope: int) -> Values:
        while scope >= 0 and unit.symbols[scope].kind != "method":
            scope = unit.symbols[scope].parent
        if scope < 0:
            return ()
        value = self._self(unit, scope)[0]
        return (value._replace(kind=f"super {value.kind}", rule="super", conf=CONFIDENCE["super"]),)

    def _imported(self, unit: Unit, target: Expr | None) -> Values:
        if target is None:
            return ()
        answer = self.imports.resolve(unit, target)
        return self.defined(answer) if isinstance(answer, Definition) else ()

    def defined(self, definition: Definition) -> Values:
        """Return what the definition that an import leads to stands for."""
        conf = CONFIDENCE[definition.rule]
        if definition.external:
            return (Value("external", name=definition.name, rule="import"),)
        if definition.node is None:
            return (Value("package", name=definition.name, rule="import"),)
        symbol = self.program.symbol(definition.node)
        if symbol.kind in {"variable", "constant"}:
            return self.members.variable(definition.node)
        return (self.symbol_value(definition.node).by(definition.rule, conf)._replace(
            rule=definition.rule),)  # fmt: skip

    def symbol_value(self, node: int) -> Value:
        """Return the value that a definition's own name stands for."""
        kind = self.program.symbol(node).kind
        return Value("function" if kind == "method" else kind, node)

    def annotated(self, unit: Unit, form: Expr | None, *, scope: int) -> Values:
        """Return what a name holds that is annotated with a type expression."""
        return typing_forms.instances(self, unit, form, scope=scope)

    def method(self, class_node: int, name: str, receiver: Value) -> Value | None:
        """Return the method that an implicit call such as `__call__` runs, if it is ours."""
        found = self.members.attribute(receiver._replace(kind="instance", node=class_node), name)
        return found[0] if len(found) == 1 and found[0].kind == "function" else None

    def _call(
        self, function: Value, unit: Unit, arguments: list[Expr | None], scope: int, at: int | None
    ) -> Values:
        first = arguments[0] if arguments else None
        if function.name in PASS_THROUGH and function.kind == "external":
            values = self.evaluate(unit, first, scope=scope, at=at)
            if function.name.startswith("copy."):
                return values
            elements = unique([v for value in values for v in self.members.element(value)])
            return external_instance(function.name, elements)
        match function:
            case Value(kind="external", name="typing.cast" | "typing_extensions.cast"):
                return self.annotated(unit, first, scope=scope)
            case Value(kind="external", name="builtins.next"):
                values = self.evaluate(unit, first, scope=scope, at=at)
                return unique([v for value in values for v in self.members.element(value)])
            case Value(kind="external", name="builtins.type") if len(arguments) == 1:
                values = self.evaluate(unit, first, scope=scope, at=at)
                return tuple(v._replace(kind="class") for v in values if v.kind == "instance")
            case Value(kind="external", name="builtins.enumerate"):
                values = self.evaluate(unit, first, scope=scope, at=at)
                elements = unique([v for value in values for v in self.members.element(value)])
                pair = Value("tuple", arguments=(external_instance("builtins.int"), elements))
                return external_instance("builtins.enumerate", (pair,))
        return self.members.called(function)
