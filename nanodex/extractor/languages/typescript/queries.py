"""The node types of the TypeScript and JavaScript grammars that mean something here."""

QUERY_PACK_VERSION = 1

CLASS_KINDS = {
    "class_declaration": "class",
    "abstract_class_declaration": "class",
    "class": "class",
    "interface_declaration": "interface",
    "enum_declaration": "enum",
}
FUNCTIONS = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "function_signature",
    }
)
METHODS = frozenset({"method_definition", "method_signature", "abstract_method_signature"})
FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
FIELDS = frozenset({"public_field_definition", "field_definition", "property_signature"})
# Methods of an application or router that take a path and a handler, as express has them.
ROUTE_METHODS = frozenset("get post put delete patch head options all".split())
# Functions with which test runners are told of a test.
TEST_CALLS = frozenset("describe it test suite specify".split())
# Names that every file knows; others that no scope knows stay unresolved.
GLOBALS = frozenset(
    """
    AbortController AbortSignal AggregateError Array ArrayBuffer Atomics BigInt BigInt64Array
    Blob Boolean Buffer DataView Date Document Element Error EvalError Event EventTarget
    FinalizationRegistry Float32Array Float64Array FormData Function HTMLElement Headers
    Infinity Int16Array Int32Array Int8Array Intl Iterator JSON Map Math NaN Node Number Object
    Promise PromiseLike Proxy RangeError ReferenceError Reflect RegExp Request Response Set
    SharedArrayBuffer String Symbol SyntaxError TextDecoder TextEncoder TypeError URIError URL
    URLSearchParams Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet
    WebAssembly WebSocket XMLHttpRequest atob btoa cancelAnimationFrame clearImmediate
    clearInterval clearTimeout console crypto customElements decodeURI decodeURIComponent
    document encodeURI encodeURIComponent escape eval fetch globalThis history isFinite isNaN
    localStorage location navigator parseFloat parseInt performance process queueMicrotask
    requestAnimationFrame sessionStorage setImmediate setInterval setTimeout structuredClone
    unescape window AsyncGenerator AsyncIterable AsyncIterableIterator AsyncIterator Generator
    Iterable IterableIterator ReadonlyArray ReadonlyMap ReadonlySet ThisType
    """.split()
)
ERRORS = frozenset(
    """
    Error TypeError RangeError SyntaxError ReferenceError EvalError URIError AggregateError
    """.split()
)
# Types that wrap one and read like it.
TRANSPARENT = frozenset("Readonly Required Partial NonNullable Awaited NoInfer".split())
