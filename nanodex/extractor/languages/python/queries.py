"""The node types of tree-sitter-python that mean something to the extract stage."""

# Raise with every change of what a walk records for the same bytes.
QUERY_PACK_VERSION = 1

# Type of a literal -> the built-in class of its value.
LITERALS = {
    "string": "str",
    "concatenated_string": "str",
    "integer": "int",
    "float": "float",
    "true": "bool",
    "false": "bool",
    "comparison_operator": "bool",
    "not_operator": "bool",
}

DISPLAYS = {"list": "list", "set": "set"}

COMPREHENSIONS = {
    "list_comprehension": "list",
    "set_comprehension": "set",
    "generator_expression": "Generator",
}

OPERATORS = {
    "+": "__add__", "-": "__sub__", "*": "__mul__", "/": "__truediv__", "//": "__floordiv__",
    "%": "__mod__", "**": "__pow__", "@": "__matmul__", "&": "__and__", "|": "__or__",
    "^": "__xor__", "<<": "__lshift__", ">>": "__rshift__",
}  # fmt: skip

# Nodes below which nothing is bound, called or defined.
SILENT = frozenset(
    {"identifier", "comment", "integer", "float", "true", "false", "none", "string_content",
     "string_start", "string_end", "pass_statement", "future_import_statement", "type"}
)  # fmt: skip

# Calls that read one environment variable, and the mapping that holds them all.
ENVIRONMENT_CALLS = frozenset(
    {"os.getenv", "getenv", "os.environ.get", "environ.get", "os.environ.setdefault",
     "environ.setdefault", "os.environ.pop", "environ.pop"}
)  # fmt: skip
ENVIRONMENT_MAPPINGS = frozenset({"os.environ", "environ"})

ROUTE_METHODS = frozenset(
    {"route", "get", "post", "put", "patch", "delete", "head", "options", "websocket"}
)
COMMAND_METHODS = frozenset({"command", "group"})
