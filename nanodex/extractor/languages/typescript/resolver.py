"""How TypeScript and JavaScript find what a name means: scopes, imports, exports, globals."""

import posixpath

from nanodex.extractor.languages.protocol import External, Found, Missing, Resolution
from nanodex.extractor.languages.typescript import queries
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Reference
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.evaluator import Evaluator
from nanodex.extractor.typed.overloads import select
from nanodex.extractor.typed.terms import Term, decode
from nanodex.extractor.typed.types import CALLABLES, CLASSES, Place
from nanodex.extractor.typed.values import Meaning, Nodes, Outside, Type, Unknown, Value

LANGUAGES = ("typescript", "javascript")
_ENDINGS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_COMPILED = (".js", ".jsx", ".mjs", ".cjs")
_ITERABLE = frozenset(
    """
    [] Array ReadonlyArray Set ReadonlySet Iterable IterableIterator Iterator Generator
    AsyncIterable AsyncGenerator
    """.split()
)


class EcmaResolver(Evaluator):
    """The rules of ES modules, CommonJS and TypeScript's types."""

    implicit_members = False

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._modules: dict[tuple[str, str], Meaning] = {}

    def resolve(self, unit: Unit, reference: Reference) -> Resolution:
        """Resolve one reference of a file."""
        term = self.start(reference)
        if term is None:
            return Missing("DynamicExpression")
        place = Place(unit, reference.scope, reference.start_byte)
        if term.op == "import":
            return self._answer(self._from(unit, term.text, term.parts[0].text, "any"))
        if term.op == "call":
            meaning = self.call_target(term, place)
            return self._answer(meaning, called=True)
        if term.op == "type":
            return self._answer(self.name_of_type(term, place))
        meaning = self.evaluate(term, place)
        if reference.relationship == "raises" and isinstance(meaning, Value):
            target = meaning.type.target
            if isinstance(target, int):
                meaning = Nodes((target,), meaning.rule, meaning.conf)
            elif isinstance(target, str):
                meaning = Outside(target, meaning.rule, meaning.conf)
        return self._answer(meaning, called=reference.relationship == "instantiates")

    def evaluate(self, term: Term, place: Place, want: str = "value") -> Meaning:
        """Follow a term; modules and assigned fields are this language's own."""
        if term.op == "module":
            return self._from(place.unit, term.text, "=", want)
        if term.op == "within":
            constructor = next(
                (
                    index
                    for index, symbol in enumerate(place.unit.symbols)
                    if symbol.start_byte <= term.at < symbol.end_byte
                    and symbol.name == "constructor"
                    and symbol.parent == place.scope
                ),
                place.scope,
            )
            return self.evaluate(term.parts[0], Place(place.unit, constructor, term.at), want)
        if term.op == "constructor":
            base = self._receiver("super", place)
            if isinstance(base, Value) and isinstance(base.type.target, str):
                return Outside(f"{base.type.target}.constructor", "super constructor", 1.0)
            found = self.member(base, "constructor", "call")
            if isinstance(found, Nodes):
                return found._replace(rule="super constructor")
            return Unknown("ImplicitConstructor") if not isinstance(found, Outside) else found
        return super().evaluate(term, place, want)

    def imported(self, binding: Binding, place: Place, want: str) -> Meaning:
        """Say what an imported name stands for."""
        module, name = (binding.value or ["", ""])[:2]
        return self._from(place.unit, module, name, want)

    def beyond(self, name: str, place: Place, want: str) -> Meaning:
        """Look a name up among the globals that every file knows."""
        if name in queries.GLOBALS:
            return Outside(name, "global", 1.0)
        return Unknown("UnknownName")

    def module_member(self, base: Nodes, name: str, want: str) -> Meaning:
        """Find what a module exports, or what a namespace declares."""
        node = base.nodes[0]
        unit = self.program.unit_of(node)
        if node != unit.first:
            return super().module_member(base, name, want)
        return self._exported(unit, name, want, base.rule, frozenset())

    def member(self, base: Meaning, name: str, want: str) -> Meaning:
        """Find a member; `prototype` and functions' own members are not followed."""
        if isinstance(base, Nodes) and self.program.symbol(base.nodes[0]).kind in CALLABLES:
            return Unknown("MemberOfFunction")
        return super().member(base, name, want)

    def element(self, type_: Type) -> Type | None:
        """Return the type of an element."""
        if type_.target in _ITERABLE:
            return type_.arguments[0] if type_.arguments else None
        return None

    def outside_member(self, type_: Type, name: str, meaning: Value) -> Meaning:
        """Name a member of a type from outside; arrays are the global Array."""
        owner = "Array" if type_.target == "[]" else type_.target
        return Outside(f"{owner}.{name}", meaning.rule, min(meaning.conf, 0.9))

    def outside_result(self, meaning: Meaning, term: Term, place: Place) -> Meaning:
        """Say what `map.get(key)` gives; other results from outside are not known."""
        callee = term.parts[0]
        if callee.op == "member" and callee.text in ("get", "pop", "shift", "at", "find"):
            base = self.value_of(self.evaluate(callee.parts[0], place))
            if isinstance(base, Value):
                keyed = base.type.target in ("Map", "WeakMap", "ReadonlyMap")
                listed = base.type.target in ("[]", "Array", "ReadonlyArray")
                arguments = base.type.arguments
                if keyed and callee.text == "get" and len(arguments) == 2 and arguments[1]:
                    return Value(arguments[1], "library type", base.conf)
                if listed and callee.text != "get" and arguments and arguments[0]:
                    return Value(arguments[0], "library type", base.conf)
        return Unknown("ExternalResult")

    def named_type(self, meaning: Meaning, arguments: tuple[Type | None, ...]) -> Type | None:
        """Turn a name into a type; an enum's member is of the enum."""
        if isinstance(meaning, Nodes):
            symbol = self.program.symbol(meaning.nodes[0])
            parent = self.program.parent(meaning.nodes[0])
            if symbol.kind == "constant" and parent and self.program.symbol(parent).kind == "enum":
                return Type(parent)
        return super().named_type(meaning, arguments)

    def _pick(self, nodes: object, want: str) -> tuple[int, ...]:
        found = super()._pick(nodes, want)  # type: ignore[arg-type]
        if want not in ("value", "call"):
            return found
        return tuple(
            node
            for node in found
            if self.program.symbol(node).kind != "interface"
            and not forms.is_type(self.program, node)
        )

    def _from(self, unit: Unit, module: str, name: str, want: str) -> Meaning:
        """Say what `name` imported from `module` means."""
        found = self._module(unit, module)
        if isinstance(found, Outside):
            whole = name in ("*", "=", "default", "")
            return Outside(found.name if whole else f"{found.name}.{name}", "import", 1.0)
        if isinstance(found, Unknown) or name == "*":
            return found
        assert isinstance(found, Nodes)
        target = self.program.unit_of(found.nodes[0])
        if name in ("=", "default"):
            for export in ("=", "default") if name == "=" else ("default", "="):
                if any(b.form == "export" for b in target.scope(0).get(export, ())):
                    return self._exported(target, export, want, "import", frozenset())
            return found if name == "=" else Unknown("NoSuchExport")
        return self._exported(target, name, want, "import", frozenset())

    def _module(self, unit: Unit, module: str) -> Meaning:
        key = (posixpath.dirname(unit.path), module)
        known = self._modules.get(key)
        if known is None:
            known = self._modules[key] = self._find_module(*key)
        return known

    def _find_module(self, folder: str, module: str) -> Meaning:
        if not module.startswith((".", "/")):
            if module.startswith(("@/", "~/", "#")):
                return Unknown("PathAlias")
            return Outside(module.removeprefix("node:"), "import", 1.0)
        base = posixpath.normpath(posixpath.join(folder, module))
        stem, ending = posixpath.splitext(base)
        names = [base, *(base + end for end in _ENDINGS)]
        if ending in _COMPILED:
            names += [stem + end for end in _ENDINGS]
        names += [posixpath.normpath(f"{base}/index{end}") for end in _ENDINGS]
        for name in names:
            found = self.program.by_path.get(name)
            if found is not None and found.language in LANGUAGES:
                return Nodes((found.first,), "import", 1.0)
        return Unknown("ModuleNotFound")

    def _exported(
        self, unit: Unit, name: str, want: str, rule: str, seen: frozenset[str]
    ) -> Meaning:
        """Find what `unit` exports as `name`, through re-exports."""
        if unit.path in seen:
            return Unknown("NoSuchExport")
        seen = seen | {unit.path}
        place = Place(unit, 0, 1 << 40)
        for binding in unit.scope(0).get(name, ()):
            if binding.form != "export" or binding.value is None:
                continue
            kind, *given = binding.value
            if kind == "local":
                nodes = self._pick(self.program.members(unit.first, given[0]), want)
                if nodes:
                    return Nodes(nodes, rule, 1.0)
                meaning = self._imported_name(unit, given[0], want)
                return meaning
            if kind == "from":
                if given[1] == "*":
                    return self._module(unit, given[0])
                found = self._module(unit, given[0])
                if isinstance(found, Nodes):
                    target = self.program.unit_of(found.nodes[0])
                    return self._exported(target, given[1], want, "re-export", seen)
                return self._from(unit, given[0], given[1], want)
            term = decode(given[0])
            if term is not None and term.op != "none":
                return self.evaluate(term, place, want if want in ("value", "call") else "value")
            nodes = self._pick(self.program.members(unit.first, name), want)
            return Nodes(nodes, rule, 1.0) if nodes else Unknown("DynamicExport")
        declared = self.program.members(unit.first, name)
        public = [node for node in declared if self.program.symbol(node).visibility == "public"]
        nodes = self._pick(public, want)
        if nodes:
            return Nodes(nodes, rule, 1.0)
        if name == "default":
            return Unknown("NoSuchExport")
        return self._starred(unit, name, want, seen)

    def _starred(self, unit: Unit, name: str, want: str, seen: frozenset[str]) -> Meaning:
        outside: list[str] = []
        for binding in unit.scope(0).get("*", ()):
            if binding.form != "export" or binding.value is None:
                continue
            found = self._module(unit, binding.value[1])
            if isinstance(found, Nodes):
                target = self.program.unit_of(found.nodes[0])
                meaning = self._exported(target, name, want, "re-export", seen)
                if not isinstance(meaning, Unknown):
                    return meaning
            elif isinstance(found, Outside):
                outside.append(found.name)
        if len(outside) == 1:
            return Outside(f"{outside[0]}.{name}", "re-export", 0.9)
        return Unknown("NoSuchExport")

    def _imported_name(self, unit: Unit, name: str, want: str) -> Meaning:
        for binding in unit.scope(0).get(name, ()):
            if binding.form == "import":
                return self.imported(binding, Place(unit, 0, 0), want)
        return Unknown("NoSuchExport")

    def _answer(self, meaning: Meaning, *, called: bool = False) -> Resolution:
        match meaning:
            case Nodes(nodes=nodes, rule=rule, conf=conf):
                if len(nodes) > 1:
                    nodes = self._implementation(nodes)
                kind = self.program.symbol(nodes[0]).kind
                if called and kind not in CALLABLES | CLASSES:
                    return Missing("CallOfAValue")
                return Found(nodes[0], rule, conf)
            case Outside(name=name, rule=rule, conf=conf):
                return External(name, rule, conf)
            case Value():
                return Missing("CallOfAValue" if called else "NotADeclaration")
            case Unknown(reason=reason):
                return Missing(reason)

    def _implementation(self, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """Put the declaration with a body first: overloads in TypeScript share one."""
        last = max(nodes)
        return (last, *(node for node in nodes if node != last))

    def call_target(self, term: Term, place: Place) -> Meaning:
        """Say what a call calls; overload signatures stand for their one implementation."""
        meaning = self.evaluate(term.parts[0], place, "call")
        if isinstance(meaning, Nodes) and len(meaning.nodes) > 1:
            parents = {self.program.parent(node) for node in meaning.nodes}
            if len(parents) == 1:
                return meaning._replace(nodes=(max(meaning.nodes),))
            return select(self, meaning, ())
        return meaning
