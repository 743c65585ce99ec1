"""What Java's own library gives back, as far as following a chain of calls needs it."""

from nanodex.extractor.typed.values import Type

OBJECT = "java.lang.Object"
OBJECT_MEMBERS = frozenset(
    "getClass hashCode equals toString notify notifyAll wait clone finalize".split()
)
# External classes whose subclasses are exceptions.
THROWABLES = frozenset(
    """
    java.io.IOException java.io.UncheckedIOException java.io.FileNotFoundException
    java.io.EOFException java.util.NoSuchElementException java.util.ConcurrentModificationException
    java.util.InputMismatchException java.util.MissingResourceException
    java.util.concurrent.TimeoutException java.util.concurrent.ExecutionException
    java.util.concurrent.CancellationException java.util.concurrent.CompletionException
    java.sql.SQLException java.text.ParseException java.net.URISyntaxException
    java.security.GeneralSecurityException java.lang.Throwable
    """.split()
)
_OF_ELEMENT = frozenset(
    """
    get next previous remove removeFirst removeLast poll pollFirst pollLast peek peekFirst peekLast
    pop first last getFirst getLast element take orElse orElseThrow orElseGet join nextElement
    """.split()
)
_OF_VALUE = frozenset("get put remove getOrDefault computeIfAbsent compute merge".split())
_STRING_RESULTS = frozenset(
    """
    toString trim strip substring toLowerCase toUpperCase replace replaceAll concat repeat format
    valueOf join intern replaceFirst name getName getSimpleName getMessage
    """.split()
)
_STRING_OWNERS = frozenset(
    "java.lang.String java.lang.StringBuilder java.lang.StringBuffer java.lang.Class".split()
)


def element(type_: Type) -> Type | None:
    """Return what iterating `type_` gives: an array, or a collection of java.util."""
    if type_.target == "[]":
        return type_.arguments[0] if type_.arguments else None
    if isinstance(type_.target, str) and len(type_.arguments) == 1:
        package = type_.target.rsplit(".", 1)[0]
        if package.startswith("java.util") or type_.target == "java.lang.Iterable":
            return type_.arguments[0]
    return None


def result(owner: Type, method: str) -> Type | None:
    """Return the type that `method` of the library class `owner` gives; None where not known."""
    target = owner.target
    if not isinstance(target, str):
        return None
    if target in _STRING_OWNERS and method in _STRING_RESULTS:
        own = method in ("append", "insert", "reverse")
        return owner if own else Type("java.lang.String")
    if target in ("java.lang.StringBuilder", "java.lang.StringBuffer") and method == "append":
        return owner
    if not target.startswith(("java.util.", "java.lang.Iterable")):
        return None
    arguments = owner.arguments
    if len(arguments) == 1:
        if method in _OF_ELEMENT:
            return arguments[0]
        if method in ("iterator", "listIterator", "descendingIterator"):
            return Type("java.util.Iterator", arguments)
    if len(arguments) == 2:
        if target == "java.util.Map.Entry":
            return {"getKey": arguments[0], "getValue": arguments[1]}.get(method)
        if method in _OF_VALUE:
            return arguments[1]
        views = {
            "values": Type("java.util.Collection", arguments[1:]),
            "keySet": Type("java.util.Set", arguments[:1]),
            "entrySet": Type("java.util.Set", (Type("java.util.Map.Entry", arguments),)),
        }
        return views.get(method)
    return None
