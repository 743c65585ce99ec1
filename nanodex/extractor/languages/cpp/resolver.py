"""How C++ finds what a name means: classes, namespaces from the inside out, using, includes."""

from collections.abc import Iterable

from nanodex.extractor.languages.cpp import queries
from nanodex.extractor.languages.cpp.adoption import adopt_definitions
from nanodex.extractor.languages.cpp.includes import Includes
from nanodex.extractor.languages.protocol import External, Found, Missing, Resolution
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Reference
from nanodex.extractor.resolver.namespaces import with_outer
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.evaluator import Evaluator
from nanodex.extractor.typed.terms import Term
from nanodex.extractor.typed.types import CALLABLES, CLASSES, Place
from nanodex.extractor.typed.values import Meaning, Nodes, Outside, Type, Unknown, Value

_NAMESPACE = "namespace"


class CppResolver(Evaluator):
    """C++'s rules; C is read by the same ones."""

    converts_arguments = True
    files_are_scopes = False

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._declarations = adopt_definitions(program)
        self._includes = Includes(program)
        self._spaces = with_outer(
            str(binding.value)
            for unit in program.units
            if unit.language == "cpp"
            for binding in unit.scope(0).get(forms.NAMESPACES, ())
        )

    def resolve(self, unit: Unit, reference: Reference) -> Resolution:
        """Resolve one reference of a file."""
        term = self.start(reference)
        if term is None:
            return Missing("DynamicExpression")
        place = Place(unit, reference.scope, reference.start_byte)
        if term.op == "import":
            return self._include(unit, term)
        if term.op == "call":
            meaning = self.call_target(term, place)
            if isinstance(meaning, Unknown) and meaning.reason == "UnknownName":
                if term.parts[0].text.isupper():
                    return Missing("Macro")
            return self._answer(meaning, called=True)
        if term.op == "type":
            type_ = self.type_of(term, place)
            if type_ is None:
                meaning = self.name_of_type(term, place)
                return Missing(meaning.reason if isinstance(meaning, Unknown) else "UnknownType")
            return self._answer(self._class_of(type_, self.name_of_type(term, place)))
        meaning = self.evaluate(term, place)
        if isinstance(meaning, Value):
            meaning = self._class_of(meaning.type, meaning)
        return self._answer(meaning)

    def evaluate(self, term: Term, place: Place, want: str = "value") -> Meaning:
        """Follow a term; pointers are C++'s own."""
        if term.op in ("deref", "index"):
            base = self.value_of(self.evaluate(term.parts[0], place))
            if not isinstance(base, Value):
                return base
            if term.op == "deref":
                return base._replace(type=self.pointee(base.type))
            type_ = base.type
            mapped = type_.target in queries.MAPS and len(type_.arguments) > 1
            item = type_.arguments[1] if mapped else self.element(type_)
            return Value(item, "element type", base.conf) if item else Unknown("UnknownElement")
        return super().evaluate(term, place, want)

    def enclosing(self, place: Place) -> Place | None:
        """Return the scope around: for a method defined outside its class, the class."""
        node = place.unit.first + place.scope
        symbol = place.unit.symbols[place.scope]
        parent = self.program.adopted.get(node)
        if parent is None and symbol.parent == 0 and "." in symbol.local_name:
            classes = self._visible(symbol.local_name.rpartition(".")[0], place.unit)
            parent = next(
                (n for n in classes if self.program.symbol(n).kind in CLASSES), None
            )  # fmt: skip
        if parent is None or parent == node:
            return super().enclosing(place)
        unit = self.program.unit_of(parent)
        return Place(unit, parent - unit.first, unit.symbols[parent - unit.first].name_start)

    def imported(self, binding: Binding, place: Place, want: str) -> Meaning:
        """Say what a using declaration or a namespace alias stands for."""
        full = str(binding.value)
        nodes = self._pick(self._visible(full, place.unit), want)
        if nodes:
            return Nodes(nodes, "using declaration", 1.0)
        owner = full.rpartition(".")[0]
        if full in self._spaces:
            return Outside(full, _NAMESPACE, 1.0)
        if owner in self._spaces:
            return Unknown("NotIncluded")
        return Outside(full, _NAMESPACE if want == "scope" else "using declaration", 1.0)

    def beyond(self, name: str, place: Place, want: str) -> Meaning:
        """Look a name up in the enclosing namespaces, then through using directives."""
        unit = place.unit
        parts = unit.symbols[place.scope].local_name.split(".")[:-1]
        for count in range(len(parts), -1, -1):
            full = ".".join([*parts[:count], name])
            nodes = self._pick(self._visible(full, unit), want)
            if nodes:
                return Nodes(nodes, "namespace" if count else "global namespace", 1.0)
            if full in self._spaces and want in ("scope", "value"):
                return Outside(full, _NAMESPACE, 1.0)
        directives = [
            str(binding.value)
            for scope in {place.scope, 0}
            for binding in unit.scope(scope).get("*", ())
            if binding.form == "using"
        ]
        found = {
            n for d in directives for n in self._pick(self._visible(f"{d}.{name}", unit), want)
        }
        if found:
            return Nodes(tuple(sorted(found)), "using directive", 1.0)
        if name == "std" or (want == "scope" and name.islower()):
            return Outside(name, _NAMESPACE, 1.0)
        outside = [directive for directive in directives if directive not in self._spaces]
        return Unknown("UsingDirective" if outside else "UnknownName")

    def member(self, base: Meaning, name: str, want: str) -> Meaning:
        """Find a member; a namespace's members may be ours or from outside."""
        if isinstance(base, Outside) and base.rule == _NAMESPACE:
            full = f"{base.name}.{name}"
            if base.name in self._spaces:
                nodes = self._pick(self.program.by_qualified_name.get(full, ()), want)
                nodes = tuple(dict.fromkeys(map(self.program.current, nodes)))
                if nodes:
                    return Nodes(nodes, "qualified name", 1.0)
                if full in self._spaces:
                    return Outside(full, _NAMESPACE, 1.0)
                return Unknown("NoSuchSymbol")
            known = want == "scope" and name.islower()
            return Outside(full, _NAMESPACE if known else "qualified name", 1.0)
        return super().member(base, name, want)

    def pointee(self, type_: Type) -> Type:
        """Return what a smart pointer points at; a plain pointer's type is that already."""
        if type_.target in queries.POINTERS and type_.arguments and type_.arguments[0]:
            return type_.arguments[0]
        return type_

    def element(self, type_: Type) -> Type | None:
        """Return the type of an element of a standard sequence."""
        if (type_.target == "[]" or type_.target in queries.SEQUENCES) and type_.arguments:
            return type_.arguments[0]
        return None

    def outside_result(self, meaning: Meaning, term: Term, place: Place) -> Meaning:
        """Say what `pointer.get()`, `vector.back()` and their like give."""
        callee = term.parts[0]
        if callee.op in ("member", "arrow"):
            base = self.value_of(self.evaluate(callee.parts[0], place))
            if isinstance(base, Value):
                type_ = base.type
                if callee.text in ("get", "value", "lock", "operator*"):
                    inner = self.pointee(type_)
                    return (
                        Value(inner, "library type", base.conf)
                        if inner != type_
                        else (Unknown("ExternalResult"))
                    )
                if callee.text in ("front", "back", "at", "top"):
                    item = self.element(type_)
                    if item is not None:
                        return Value(item, "library type", base.conf)
        return Unknown("ExternalResult")

    def _visible(self, full: str, unit: Unit) -> tuple[int, ...]:
        """Return the declarations called `full` that `unit` includes, as their current nodes."""
        nodes = self.program.by_qualified_name.get(full, ())
        if not nodes:
            return ()
        if self._is_forward(full, unit):
            return tuple(
                node for node in nodes if self.program.symbol(node).kind in CLASSES
            )[:1]  # fmt: skip
        paths = self._includes.visible(unit)
        found = (
            self.program.current(node)
            for node in nodes
            if self.program.unit_of(node).path in paths
            or any(
                self.program.unit_of(declaration).path in paths
                for declaration in self._declarations.get(node, ())
            )
        )
        return tuple(dict.fromkeys(found))

    def _is_forward(self, full: str, unit: Unit) -> bool:
        """Whether `unit` names the class without a body, and one class has the name."""
        if not any(str(b.value) == full for b in unit.scope(0).get(forms.FORWARD, ())):
            return False
        nodes = self.program.by_qualified_name.get(full, ())
        return sum(self.program.symbol(node).kind in CLASSES for node in nodes) == 1

    def _pick(self, nodes: Iterable[int], want: str) -> tuple[int, ...]:
        # A constructor has no name that can be looked up: the name is its class's.
        return super()._pick((node for node in nodes if not self._is_constructor(node)), want)

    def _is_constructor(self, node: int) -> bool:
        if self.program.symbol(node).kind != "method":
            return False
        parent = self.program.parent(node)
        return parent is not None and (
            self.program.symbol(parent).name == self.program.symbol(node).name
        )

    def _class_of(self, type_: Type, meaning: Meaning) -> Meaning:
        rule = "named type" if isinstance(meaning, Unknown) else meaning.rule
        if isinstance(type_.target, int):
            return Nodes((type_.target,), rule, 1.0)
        if isinstance(type_.target, str):
            return Outside(type_.target, rule, 1.0)
        return Unknown("TypeVariable")

    def _include(self, unit: Unit, term: Term) -> Resolution:
        found = self._includes.find(unit, term.text)
        system = term.parts[0].op == "system"
        if found is not None and (not system or "/" in term.text):
            return Found(found.first, "include", 1.0)
        return External(term.text, "include", 1.0) if system else Missing("FileNotFound")

    def _answer(self, meaning: Meaning, *, called: bool = False) -> Resolution:
        match meaning:
            case Nodes(nodes=nodes, rule=rule, conf=conf):
                if len(nodes) > 1:
                    return Missing("AmbiguousOverload")
                if called and self.program.symbol(nodes[0]).kind not in CALLABLES | CLASSES:
                    return Missing("CallOfAValue")
                return Found(nodes[0], rule, conf)
            case Outside(name=name, rule=rule, conf=conf):
                return External(name, rule, conf)
            case Value():
                return Missing("CallOfAValue")
            case Unknown(reason=reason):
                return Missing(reason)
