"""How Java finds what a name means: imports, the package, on-demand imports, java.lang."""

from collections.abc import Iterator

from nanodex.extractor.languages.java import library, queries
from nanodex.extractor.languages.protocol import External, Found, Missing, Resolution
from nanodex.extractor.program import Program, Unit
from nanodex.extractor.records import Binding, Reference
from nanodex.extractor.resolver.namespaces import with_outer
from nanodex.extractor.typed.evaluator import Evaluator
from nanodex.extractor.typed.overloads import select
from nanodex.extractor.typed.terms import Term
from nanodex.extractor.typed.types import CLASSES, Place
from nanodex.extractor.typed.values import Meaning, Nodes, Outside, Type, Unknown, Value

_PACKAGE = "package name"
# First words of packages from outside that are written in full without an import.
_ROOTS = frozenset("java javax jakarta jdk sun com org net io".split())


class JavaResolver(Evaluator):
    """Java's rules."""

    separate_callables = True
    root_class = library.OBJECT
    root_members = library.OBJECT_MEMBERS

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._packages = with_outer(
            unit.namespace for unit in program.units if unit.language == "java"
        )

    def resolve(self, unit: Unit, reference: Reference) -> Resolution:
        """Resolve one reference of a Java file."""
        term = self.start(reference)
        if term is None:
            return Missing("DynamicExpression")
        place = Place(unit, reference.scope, reference.start_byte)
        if term.op == "import":
            return self._import(term)
        if term.op == "call":
            return self._answer(self.call_target(term, place))
        if term.op == "type":
            return self._answer(_class_of(self.name_of_type(term, place)))
        return self._answer(_class_of(self.evaluate(term, place)))

    def evaluate(self, term: Term, place: Place, want: str = "value") -> Meaning:
        """Follow a term; constructors and anonymous classes are Java's own."""
        if term.op == "constructor":
            return self._constructor(term.text, place)
        if term.op == "anonymous":
            type_ = self.type_of(term.parts[0], place)
            if type_ is not None and isinstance(type_.target, int):
                own = self.member(Value(type_, "anonymous class", 1.0), term.text, want)
                if isinstance(own, Nodes):
                    return own
            outer = self.lookup(term.text, place._replace(at=term.at), want)
            known = isinstance(outer, Nodes) or (type_ and isinstance(type_.target, int))
            return outer if known else Unknown("AnonymousClass")
        return super().evaluate(term, place, want)

    def member(self, base: Meaning, name: str, want: str) -> Meaning:
        """Find a member; a package's members may be ours or from outside."""
        if isinstance(base, Outside) and base.rule == _PACKAGE:
            full = f"{base.name}.{name}"
            nodes = self._classes(full)
            if nodes:
                return Nodes(nodes, "qualified name", 1.0)
            if full in self._packages or name[:1].islower():
                return Outside(full, _PACKAGE, 1.0)
            if base.name in self._packages:
                return Unknown("NoSuchSymbol")
            return Outside(full, "qualified name", 1.0)
        return super().member(base, name, want)

    def imported(self, binding: Binding, place: Place, want: str) -> Meaning:
        """Say what a single import stands for."""
        written, static = (binding.value or ["", False])[:2]
        if not static:
            if want == "call":
                return Unknown("OtherNamespace")
            nodes = self._classes(written)
            if nodes:
                return Nodes(nodes, "import", 1.0)
            return self._beyond_ours(written, "import")
        owner, _, name = written.rpartition(".")
        nodes = self._classes(owner)
        if not nodes:
            outside = self._beyond_ours(owner, "static import")
            return outside if isinstance(outside, Unknown) else self.member(outside, name, want)
        meaning = self.member(Nodes(nodes, "static import", 1.0), name, want)
        return meaning if isinstance(meaning, Nodes) else Unknown("OtherNamespace")

    def beyond(self, name: str, place: Place, want: str) -> Meaning:
        """Look a name up in the package, on-demand imports, java.lang and among packages."""
        unit = place.unit
        stars = [tuple(b.value or ["", False]) for b in unit.scope(0).get("*", ())]
        if want != "call":
            nodes = self._classes(f"{unit.namespace}.{name}" if unit.namespace else name)
            if nodes:
                return Nodes(nodes, "same package", 1.0)
            found = {n for package, static in stars for n in self._classes(f"{package}.{name}")}
            if len(found) == 1:
                return Nodes(tuple(found), "on-demand import", 1.0)
            if found:
                return Unknown("AmbiguousImport")
            if name in queries.JAVA_LANG:
                return Outside(f"java.lang.{name}", "java.lang", 1.0)
            if name in queries.PRIMITIVES:
                return Outside(name, "primitive", 1.0)
        if want in ("value", "call"):
            for meaning in self._static_stars(stars, name, want):
                return meaning
        if want != "call" and (name in self._packages or name in _ROOTS):
            return Outside(name, _PACKAGE, 1.0)
        outside = [
            package for package, static in stars if not static and package not in self._packages
        ]
        return Unknown("OnDemandImport" if outside else "UnknownName")

    def element(self, type_: Type) -> Type | None:
        """Return the type of an element."""
        if isinstance(type_.target, int):
            for base in self.lineage(type_):
                item = library.element(base) if base else None
                if item is not None:
                    return item
        return library.element(type_)

    def outside_member(self, type_: Type, name: str, meaning: Value) -> Meaning:
        """Say what a member of a library type is; arrays and primitives have none of ours."""
        if type_.target == "[]" or type_.target in queries.PRIMITIVES:
            return Unknown("ArrayMember")
        return super().outside_member(type_, name, meaning)

    def outside_result(self, meaning: Meaning, term: Term, place: Place) -> Meaning:
        """Say what a library method gives back."""
        callee = term.parts[0]
        if callee.op == "member":
            base = self.value_of(self.evaluate(callee.parts[0], place))
            if isinstance(base, Value):
                type_ = library.result(base.type, callee.text)
                if type_ is not None and not isinstance(type_.target, tuple):
                    return Value(type_, "library type", min(base.conf, 0.95))
        return Unknown("ExternalResult")

    def _classes(self, full: str) -> tuple[int, ...]:
        nodes = self.program.by_qualified_name.get(full, ())
        return tuple(node for node in nodes if self.program.symbol(node).kind in CLASSES)[:1]

    def _beyond_ours(self, full: str, rule: str) -> Meaning:
        """Name something from outside; what our own packages lack is not outside."""
        owner = full.rpartition(".")[0]
        if owner in self._packages or self._classes(owner):
            return Unknown("NoSuchSymbol")
        return Outside(full, rule, 1.0)

    def _static_stars(
        self, stars: list[tuple[str, bool]], name: str, want: str
    ) -> Iterator[Meaning]:
        outside = []
        for written, static in stars:
            if not static:
                continue
            nodes = self._classes(written)
            if not nodes:
                outside.append(written)
                continue
            meaning = self.member(Nodes(nodes, "static on-demand import", 1.0), name, want)
            if isinstance(meaning, Nodes):
                yield meaning
        if len(outside) == 1 and want == "call":
            yield Outside(f"{outside[0]}.{name}", "static on-demand import", 0.9)

    def _constructor(self, keyword: str, place: Place) -> Meaning:
        receiver = self._receiver(keyword, place)
        if not isinstance(receiver, Value):
            return receiver
        target = receiver.type.target
        if isinstance(target, str):
            return Outside(f"{target}.{target.rsplit('.', 1)[-1]}", f"{keyword} constructor", 1.0)
        if isinstance(target, tuple):
            return Unknown("TypeVariable")
        name = self.program.symbol(target).name
        nodes = self._pick(self.program.members(target, name), "call")
        if not nodes:
            return Unknown("ImplicitConstructor")
        return Nodes(nodes, f"{keyword} constructor", 1.0)

    def _import(self, term: Term) -> Resolution:
        kind = term.parts[0].op
        if kind == "star":
            nodes = self._classes(term.text)
            if nodes:
                return Found(nodes[0], "static on-demand import", 1.0)
            if term.text in self._packages:
                return Missing("PackageImport")
            return External(term.text, "on-demand import", 1.0)
        nodes = self._classes(term.text)
        if nodes:
            return Found(nodes[0], "import", 1.0)
        if kind == "static":
            owner, _, name = term.text.rpartition(".")
            nodes = self._classes(owner)
            if nodes:
                member = self.member(Nodes(nodes, "static import", 1.0), name, "call")
                if not isinstance(member, Nodes):
                    member = self.member(Nodes(nodes, "static import", 1.0), name, "value")
                if isinstance(member, Nodes):
                    return Found(member.nodes[0], "static import", 1.0)
        return self._answer(self._beyond_ours(term.text, "import"))

    def _answer(self, meaning: Meaning) -> Resolution:
        match meaning:
            case Nodes(nodes=nodes, rule=rule, conf=conf):
                if len(nodes) > 1:
                    chosen = select(self, meaning, ())
                    return (
                        Missing("AmbiguousOverload")
                        if chosen is meaning
                        else (self._answer(chosen))
                    )
                kind = self.program.symbol(nodes[0]).kind
                if kind in ("variable", "constant"):
                    return Missing("CallOfAValue")
                return Found(nodes[0], rule, conf)
            case Outside(name=name, rule=rule, conf=conf):
                return External(name, rule, conf)
            case Unknown(reason=reason):
                return Missing(reason)
        return Missing("NotADeclaration")


def _class_of(meaning: Meaning) -> Meaning:
    """Turn a value into the class that it is of."""
    if isinstance(meaning, Value):
        target = meaning.type.target
        if isinstance(target, int):
            return Nodes((target,), meaning.rule, meaning.conf)
        if isinstance(target, str):
            return Outside(target, meaning.rule, meaning.conf)
        return Unknown("TypeVariable")
    return meaning
