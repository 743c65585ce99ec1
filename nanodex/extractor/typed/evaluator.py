"""Follows terms over the declarations of a whole program.

A language supplies name look-up and the few types that its own library gives a shape; following
members, calls, fields, type arguments and base classes is the same for all of them. Nothing here
guesses: where a step has more than one answer, or none, the term means `Unknown` with a reason.
"""

from abc import abstractmethod
from collections.abc import Iterable

from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Reference
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.overloads import select
from nanodex.extractor.typed.terms import Term, decode
from nanodex.extractor.typed.types import CALLABLES, CLASSES, VALUES, Place, TypeReader
from nanodex.extractor.typed.values import (
    Meaning,
    Nodes,
    Outside,
    Type,
    Unknown,
    Value,
    substitute,
)

_MAX_STEPS = 64


class Evaluator(TypeReader):
    """Follows terms; one for each language and program."""

    # Whether a bare name inside a class may mean a member of the class.
    implicit_members = True
    # Whether functions and values have separate names, as in Java.
    separate_callables = False
    # Whether what a file defines is known by its simple name everywhere in the file.
    files_are_scopes = True
    # Whether an argument may become another type on the way, so that types exclude no overload.
    converts_arguments = False
    # The class that every class inherits from, and its members; "" where there is none.
    root_class = ""
    root_members: frozenset[str] = frozenset()

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._declared: dict[int, Meaning] = {}
        # What the calls within the term of one reference gave; cleared for each reference.
        self._results: dict[int, tuple[Term, Meaning]] = {}

    # What a language answers.

    @abstractmethod
    def beyond(self, name: str, place: Place, want: str) -> Meaning:
        """Look `name` up outside the scopes of its file: packages, namespaces, builtins."""

    @abstractmethod
    def imported(self, binding: Binding, place: Place, want: str) -> Meaning:
        """Say what an import binding stands for."""

    @abstractmethod
    def element(self, type_: Type) -> Type | None:
        """Return the type of an element of `type_`, None where it is not known."""

    def pointee(self, type_: Type) -> Type:
        """Return what a value of `type_` points at: itself, where there are no pointers."""
        return type_

    def outside_member(self, type_: Type, name: str, meaning: Value) -> Meaning:
        """Say what member `name` of a type from outside is."""
        return Outside(f"{type_.target}.{name}", meaning.rule, min(meaning.conf, 0.9))

    # Following terms.

    def start(self, reference: Reference) -> Term | None:
        """Return the term of a reference that is to be resolved now."""
        self._results.clear()
        return decode(reference.target)

    def evaluate(self, term: Term, place: Place, want: str = "value") -> Meaning:
        """Say what `term`, read at `place`, means; want is value, type or call."""
        match term.op:
            case "name":
                return self.lookup(term.text, place._replace(at=term.at), want)
            case "member":
                return self.member(self.evaluate(term.parts[0], place), term.text, want)
            case "arrow":
                base = self.value_of(self.evaluate(term.parts[0], place))
                if isinstance(base, Value):
                    base = base._replace(type=self.pointee(base.type))
                return self.member(base, term.text, want)
            case "call":
                # A language looks at the receiver of a call from outside once more: without this,
                # a chain of such calls would double the work with each link.
                known = self._results.get(id(term))
                if known is None:
                    known = self._results[id(term)] = (term, self._result(term, place))
                return known[1]
            case "of":
                return self._typed(term.parts[0], place, rule="constructed type")
            case "type":
                type_ = self.type_of(term, place)
                return Value(type_, "named type", 1.0) if type_ else Unknown("UnknownType")
            case "this" | "super":
                return self._receiver(term.op, place)
            case "changing":
                first = self.value_of(self.evaluate(term.parts[0], place))
                return first if isinstance(first, Value) else Unknown("LocalValue")
            case "item":
                base = self.value_of(self.evaluate(term.parts[0], place))
                if not isinstance(base, Value):
                    return base if isinstance(base, Unknown) else Unknown("UnknownElement")
                item = self.element(base.type)
                return Value(item, "element type", base.conf) if item else Unknown("UnknownElement")
            case "await":
                base = self.value_of(self.evaluate(term.parts[0], place))
                if isinstance(base, Value) and base.type.target in ("Promise", "PromiseLike"):
                    inner = base.type.arguments[0] if base.type.arguments else None
                    return Value(inner, base.rule, base.conf) if inner else Unknown("UnknownType")
                return base
        return Unknown("DynamicExpression")

    def lookup(self, name: str, place: Place, want: str) -> Meaning:
        """Look a simple name up: local scopes, members of enclosing classes, file, beyond."""
        inherited: Outside | None = None
        here: Place | None = place
        while here is not None:
            unit, scope, at = here
            found = self._local(unit, scope, name, at, want)
            if found is not None:
                return found
            if unit.symbols[scope].kind in CLASSES:
                if self.implicit_members:
                    type_ = Type(unit.first + scope)
                    meaning = self._member_of(type_, name, want, rule="enclosing class", conf=1.0)
                    if isinstance(meaning, Nodes):
                        return meaning
                    if isinstance(meaning, Outside) and want in ("value", "call"):
                        inherited = inherited or meaning
            elif scope or self.files_are_scopes:
                nodes = self._pick(self.program.members(unit.first + scope, name), want)
                if nodes:
                    return Nodes(nodes, "same file", 1.0)
            here = self.enclosing(here)
        meaning = self.beyond(name, place, want)
        return inherited if inherited and isinstance(meaning, Unknown) else meaning

    def enclosing(self, place: Place) -> Place | None:
        """Return the scope around the scope of `place`; None around the file's."""
        parent = place.unit.symbols[place.scope].parent
        return None if parent < 0 else place._replace(scope=parent)

    def member(self, base: Meaning, name: str, want: str) -> Meaning:
        """Find member `name` of what a term meant."""
        if isinstance(base, Unknown):
            return base
        if isinstance(base, Outside):
            return Outside(f"{base.name}.{name}", base.rule, base.conf)
        if isinstance(base, Nodes):
            kind = self.program.symbol(base.nodes[0]).kind
            if kind == "module":
                return self.module_member(base, name, want)
            if kind in CLASSES:
                return self._member_of(
                    Type(base.nodes[0]), name, want, rule=base.rule, conf=base.conf
                )
            value = self.value_of(base)
            return value if isinstance(value, Unknown) else self.member(value, name, want)
        if isinstance(base.type.target, str):
            return self.outside_member(base.type, name, base)
        return self._member_of(base.type, name, want, rule=base.rule, conf=base.conf)

    def module_member(self, base: Nodes, name: str, want: str) -> Meaning:
        """Find `name` in a module or namespace."""
        nodes = self._pick(self.program.members(base.nodes[0], name), want)
        return Nodes(nodes, base.rule, base.conf) if nodes else Unknown("NoSuchMember")

    def value_of(self, meaning: Meaning) -> Meaning:
        """Turn a declaration into the value that reading it gives."""
        if not isinstance(meaning, Nodes):
            return meaning if isinstance(meaning, Value | Unknown) else Unknown("ExternalValue")
        node = meaning.nodes[0]
        symbol = self.program.symbol(node)
        if symbol.kind not in VALUES:
            return meaning if symbol.kind in CLASSES else Unknown("FunctionAsValue")
        declared = self._declared_value(node)
        if isinstance(declared, Value):
            bound = self._bound(meaning.receiver, node)
            type_ = substitute(declared.type, bound) or declared.type
            return Value(type_, declared.rule, min(declared.conf, meaning.conf))
        return declared

    def call_target(self, term: Term, place: Place) -> Meaning:
        """Say what a call term calls, overloads decided by its arguments where they can be."""
        meaning = self.evaluate(term.parts[0], place, "call")
        if not isinstance(meaning, Nodes) or len(meaning.nodes) == 1:
            return meaning
        arguments = [self.value_of(self.evaluate(part, place)) for part in term.parts[1:]]
        return select(self, meaning, arguments)

    # Inside.

    def _local(self, unit: Unit, scope: int, name: str, at: int, want: str) -> Meaning | None:
        chosen: Binding | None = None
        for binding in unit.scope(scope).get(name, ()):
            if binding.form in forms.LOCAL and binding.start_byte <= at < binding.block_end:
                chosen = binding
            elif binding.form in forms.TYPE_VARIABLE and want in ("type", "scope"):
                return Value(Type((unit.first + scope, name)), "type variable", 1.0)
            elif binding.form in forms.IMPORT and binding.block_end > at:
                meaning = self.imported(binding, Place(unit, scope, at), want)
                if not isinstance(meaning, Unknown) or meaning.reason != "OtherNamespace":
                    return meaning
        if chosen is None or want in ("type", "scope"):
            return None
        if want == "call" and self.separate_callables:
            return None
        return self._bound_value(chosen, unit, scope)

    def _bound_value(self, binding: Binding, unit: Unit, scope: int) -> Meaning:
        key = (unit.first + scope, binding.start_byte, binding.name)
        if key in self._open or len(self._open) > _MAX_STEPS:
            return Unknown("CircularType")
        self._open.add(key)
        try:
            type_term, init = forms.typed(binding)
            place = Place(unit, scope, binding.start_byte)
            if type_term is not None:
                return self._typed(type_term, place, rule="declared type")
            if init is None or init.op == "none":
                return Unknown("LocalValue")
            meaning = self.evaluate(init, place)
            if isinstance(meaning, Nodes):
                kind = self.program.symbol(meaning.nodes[0]).kind
                return meaning if kind in CLASSES | CALLABLES else self.value_of(meaning)
            if isinstance(meaning, Outside):
                return Unknown("ExternalValue")
            return meaning
        finally:
            self._open.discard(key)

    def _declared_value(self, node: int) -> Meaning:
        known = self._declared.get(node)
        if known is None:
            unit = self.program.unit_of(node)
            symbol = unit.symbols[node - unit.first]
            self._declared[node] = Unknown("CircularType")
            known = Unknown("NoDeclaredType")
            for binding in unit.scope(symbol.parent).get(symbol.name, ()):
                if binding.form == forms.SYMBOL and binding.start_byte == symbol.name_start:
                    known = self._bound_value(binding, unit, symbol.parent)
            self._declared[node] = known
        return known

    def _member_of(self, type_: Type, name: str, want: str, *, rule: str, conf: float) -> Meaning:
        if isinstance(type_.target, tuple):
            limit = self._limit(type_.target)
            if limit is None:
                return Unknown("TypeVariable")
            type_ = limit
        outside: list[str] = []
        for current in self.lineage(type_):
            if current is None:
                return Unknown("UnknownBase")
            if not isinstance(current.target, int):
                if isinstance(current.target, str):
                    outside.append(current.target)
                continue
            nodes = self._pick(self.program.members(current.target, name), want)
            if nodes:
                inherited = current.target != type_.target
                return Nodes(nodes, "inherited member" if inherited else rule, conf, current)
        if not outside and name in self.root_members:
            outside = [self.root_class]
        if len(outside) == 1:
            # The code compiles, so the one base that we cannot see must have it.
            return Outside(f"{outside[0]}.{name}", "inherited from outside", min(conf, 0.9))
        return Unknown("InheritedFromOutside" if outside else "NoSuchMember")

    def _pick(self, nodes: Iterable[int], want: str) -> tuple[int, ...]:
        """Choose among declarations of one name those that can be meant."""
        kinds = {node: self.program.symbol(node).kind for node in nodes}
        if want == "any":
            return tuple(kinds)
        if want in ("type", "scope"):
            return tuple(
                n
                for n, k in kinds.items()
                if k in CLASSES
                or (want == "scope" and k == "module")
                or forms.is_type(self.program, n)
            )
        if want == "call" and self.separate_callables:
            return tuple(n for n, k in kinds.items() if k in CALLABLES)
        if want == "call":
            callables = tuple(n for n, k in kinds.items() if k in CALLABLES)
            return callables or tuple(kinds)
        if self.separate_callables:
            return tuple(n for n, k in kinds.items() if k not in CALLABLES)
        return tuple(kinds)

    def _receiver(self, op: str, place: Place) -> Meaning:
        here: Place | None = place
        while here is not None and here.unit.symbols[here.scope].kind not in CLASSES:
            here = self.enclosing(here)
        if here is None:
            return Unknown("NoEnclosingClass")
        node = here.unit.first + here.scope
        if op == "this":
            return Value(Type(node), "this", 1.0)
        bases = self.supers(node)
        if not bases and self.root_class:
            return Value(Type(self.root_class), "super", 1.0)
        if not bases or bases[0] is None:
            return Unknown("UnknownBase")
        return Value(bases[0], "super", 1.0)

    def _result(self, term: Term, place: Place) -> Meaning:
        meaning = self.call_target(term, place)
        if isinstance(meaning, Unknown):
            return meaning
        if not isinstance(meaning, Nodes):
            return self.outside_result(meaning, term, place)
        node = meaning.nodes[0]
        if self.program.symbol(node).kind in CLASSES:
            return Value(Type(node), "constructed type", meaning.conf)
        returns = forms.returns(self.program, node)
        if returns is None:
            return Unknown("NoReturnType")
        type_ = self.type_of(returns, self.place_of(node))
        type_ = substitute(type_, self._bound(meaning.receiver, node))
        if type_ is None or isinstance(type_.target, tuple):
            return Unknown("TypeVariable" if type_ else "UnknownType")
        return Value(type_, "return type", meaning.conf)

    def outside_result(self, meaning: Meaning, term: Term, place: Place) -> Meaning:
        """Say what a call of something outside gives; languages know a few."""
        return Unknown("ExternalResult")
