"""Follows expressions of Python to what they stand for, across files. Nothing is guessed.

Each step carries the weakest rule used so far. Recursion is bounded by depth and by refusing to
enter what is being evaluated already, so that hostile or circular sources end as unknown.
"""

from nanodex.extractor.languages.python import typing_forms
from nanodex.extractor.languages.python.forms import FORMS
from nanodex.extractor.languages.python.imports import Definition, Imports
from nanodex.extractor.languages.python.keeper import Keeper
from nanodex.extractor.languages.python.members import Members
from nanodex.extractor.languages.python.scopes import Name, Reached, Scopes, around, visible_scopes
from nanodex.extractor.languages.python.values import (
    BUILTINS,
    CONFIDENCE,
    Value,
    Values,
    unique,
)
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Expr

_MAX_DEPTH = 24
_MAX_ALTERNATIVES = 6
# Form of a binding -> the rule by which its value is known.
_RULES = {
    "annotation": "annotation", "self annotation": "annotation", "narrowed": "narrowing",
    "assign": "assignment", "self assign": "assignment",
}  # fmt: skip


class Inference:
    """Evaluates expressions over one program."""

    def __init__(self, program: Program, imports: Imports) -> None:
        self.program = program
        self.imports = imports
        self.scopes = Scopes()
        self.keeper = Keeper()
        self.members = Members(self)
        self._globals: dict[tuple[int, str], Values] = {}
        self._depth = 0

    def evaluate(self, unit: Unit, form: Expr | None, *, scope: int, at: int | None) -> Values:
        """Return what an expression may stand for; () when that is unknown.

        Args:
            unit: the file that it stands in.
            form: see `expressions`.
            scope: index of the symbol whose names it sees.
            at: byte at which it is evaluated; None for a place outside the scope's own flow.
        """
        if form is None:
            return ()
        if self._depth >= _MAX_DEPTH:
            self.keeper.cuts += 1
            return ()
        self._depth += 1
        try:
            return FORMS[form[0]](self, unit, form, scope, at)[:_MAX_ALTERNATIVES]
        finally:
            self._depth -= 1

    def named(self, unit: Unit, name: str, *, scope: int, at: int | None) -> Values:
        """Return what a name stands for that is used in `scope` at the byte `at`."""
        visible, place = scope, at
        while visible > 0:
            known = self.scopes.name(unit, visible, name)
            if known is not None and known.local:
                return self._seen(unit, known, place)
            # The flow of a scope is not that of the functions inside it.
            visible, place = around(unit, visible), None
        if scope > 0:
            return self._global(unit, name)
        known = self.scopes.name(unit, 0, name)
        if known is not None and known.local:
            return self._seen(unit, known, at)
        return self._outside_scopes(unit, name)

    def _seen(self, unit: Unit, known: Name, at: int | None) -> Values:
        """Return what a name of a scope stands for at a place in it; None: seen from elsewhere."""
        if known.ordered and at is not None:
            return self._reached(unit, known.reaching(at))
        if known.values is not None:
            return known.values
        cuts = self.keeper.cuts
        values = self._reached(unit, known.elsewhere)
        if self.keeper.cuts == cuts:
            known.values = values
        return values

    def _global(self, unit: Unit, name: str) -> Values:
        """Return what a name of the module means inside functions: asked most, so kept."""
        known = self._globals.get((unit.first, name))
        if known is None:
            cuts = self.keeper.cuts
            known = self.seen_elsewhere(unit, 0, name)
            if known is None:
                known = self._outside_scopes(unit, name)
            if self.keeper.cuts == cuts:
                self._globals[unit.first, name] = known
        return known

    def seen_elsewhere(self, unit: Unit, scope: int, name: str) -> Values | None:
        """Return what a name of `scope` stands for to others; None where the scope lacks it."""
        known = self.scopes.name(unit, scope, name)
        return self._seen(unit, known, None) if known is not None and known.local else None

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
            known = self.scopes.name(unit, visible, name)
            if known is not None and known.local:
                forms = {binding.form for binding in known.elsewhere.bindings}
                return "CalledParameter" if "parameter" in forms else "UnknownValue"
        return "UnknownName"

    def _reached(self, unit: Unit, reached: Reached) -> Values:
        if reached.definitions:
            return (self.symbol_value(unit.first + reached.definitions[-1]),)
        found = unique([v for binding in reached.bindings for v in self.bound(unit, binding)])
        if not found and reached.declared is not None:
            return unique(list(self.bound(unit, reached.declared)))
        return found

    def bound(self, unit: Unit, binding: Binding) -> Values:
        """Return what one binding gives its name."""
        key = (unit.first, binding.scope, binding.name, binding.start_byte)
        return self.keeper.answer(key, lambda: self._bound(unit, binding))

    def _bound(self, unit: Unit, binding: Binding) -> Values:
        if binding.form == "import":
            return self.imported(unit, binding.value)
        if binding.form == "self":
            return self._self(unit, binding.scope)
        if binding.form in {"parameter", "variadic"}:
            return ()
        values = self.evaluate(unit, binding.value, scope=binding.scope, at=binding.start_byte)
        rule = _RULES.get(binding.form)
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

    def above(self, unit: Unit, scope: int) -> Values:
        """Return what `super()` stands for in `scope`."""
        while scope >= 0 and unit.symbols[scope].kind != "method":
            scope = unit.symbols[scope].parent
        if scope < 0:
            return ()
        value = self._self(unit, scope)[0]
        return (Value(f"super {value.kind}", value.node, rule="super", conf=CONFIDENCE["super"]),)

    def imported(self, unit: Unit, target: Expr | None) -> Values:
        """Return what the definition stands for that an import means."""
        if target is None:
            return ()
        answer = self.imports.resolve(unit, target)
        return self.defined(answer) if isinstance(answer, Definition) else ()

    def defined(self, definition: Definition) -> Values:
        """Return what the definition that an import leads to stands for."""
        if definition.external:
            return (Value("external", name=definition.name, rule="import"),)
        if definition.node is None:
            return (Value("package", name=definition.name, rule="import"),)
        value = self.symbol_value(definition.node)
        if value.kind in {"variable", "constant"}:
            return self.members.variable(definition.node)
        return (value.known(definition.rule, CONFIDENCE[definition.rule]),)

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
