"""What an expression can evaluate to, as far as it can be followed."""

import builtins
from collections.abc import Sequence
from typing import NamedTuple

BUILTINS = frozenset(dir(builtins))


class Value(NamedTuple):
    """One thing that an expression can stand for, and by which rule that is known.

    kind: module (node), package (name), class (node), instance (node of the class), function
    (node), external (name; whatever it is), external instance (name of the class), tuple, none.
    """

    kind: str
    node: int = 0
    name: str = ""
    arguments: tuple["Values", ...] = ()  # type arguments, items of a tuple
    receiver: "tuple[str, int] | None" = None  # (instance or class, node) a method was taken from
    rule: str = "same scope"
    conf: float = 1.0

    def by(self, rule: str, conf: float) -> "Value":
        """Return the same value known by a weaker rule."""
        return self if conf > self.conf else self.known(rule, conf)

    def renamed(self, name: str) -> "Value":
        """Return the same value by another name."""
        return Value(
            self.kind, self.node, name, self.arguments, self.receiver, self.rule, self.conf
        )

    def known(self, rule: str, conf: float) -> "Value":
        """Return the same value, known by this rule."""
        return Value(self.kind, self.node, self.name, self.arguments, self.receiver, rule, conf)


# Alternatives; empty: unknown.
Values = tuple[Value, ...]

NONE: Values = (Value("none"),)


def external_instance(name: str, *arguments: Values) -> Values:
    """Return an instance of a class outside the repository."""
    return (Value("external instance", name=name, arguments=arguments, rule="literal"),)


def unique(values: Sequence[Value]) -> Values:
    """Drop repeated alternatives, keeping the first, and None beside anything else."""
    if len(values) < 2:
        return tuple(values)
    seen: dict[tuple[str, int, str, tuple[Values, ...]], Value] = {}
    for value in values:
        seen.setdefault((value.kind, value.node, value.name, value.arguments), value)
    found = tuple(seen.values())
    return tuple(value for value in found if value.kind != "none") or found[:1]


# Confidence of each rule. At 0.9 and above an edge may be taught.
CONFIDENCE = {
    "same scope": 1.0,
    "import": 1.0,
    "re-export": 0.99,
    "star import": 0.97,
    "self": 0.99,
    "super": 0.98,
    "annotation": 0.96,
    "narrowing": 0.95,
    "assignment": 0.95,
    "self attribute": 0.94,
    "class attribute": 0.94,
    "return annotation": 0.94,
    "inferred return": 0.92,
    "one of several": 0.7,
}

# Names of the standard library whose meaning a type checker knows, beyond what annotations say.
TRANSPARENT = frozenset(
    {"typing.Optional", "typing.Annotated", "typing.Final", "typing.ClassVar", "typing.Required",
     "typing.NotRequired", "typing_extensions.Annotated", "typing_extensions.Final",
     "dataclasses.InitVar", "weakref.ReferenceType"}
)  # fmt: skip
SELF_TYPES = frozenset({"typing.Self", "typing_extensions.Self"})
CLASS_TYPES = frozenset({"builtins.type", "typing.Type"})
PROPERTIES = frozenset(
    {"property", "cached_property", "functools.cached_property", "abc.abstractproperty",
     "util.memoized_property", "memoized_property", "util.ro_memoized_property",
     "util.ro_non_memoized_property", "util.non_memoized_property", "hybrid_property"}
)  # fmt: skip
MAPPINGS = frozenset(
    {"builtins.dict", "typing.Dict", "typing.Mapping", "typing.MutableMapping",
     "collections.OrderedDict", "collections.defaultdict", "collections.abc.Mapping",
     "collections.abc.MutableMapping", "weakref.WeakValueDictionary"}
)  # fmt: skip
TUPLES = frozenset({"builtins.tuple", "typing.Tuple"})
# Calls that give back (the elements of) their argument.
PASS_THROUGH = frozenset(
    {"builtins.list", "builtins.set", "builtins.tuple", "builtins.sorted", "builtins.reversed",
     "builtins.iter", "builtins.frozenset", "copy.copy", "copy.deepcopy"}
)  # fmt: skip
