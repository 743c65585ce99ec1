"""The grammar, and how a walk reads its tree: fields by number, texts by slice.

A walk asks for half a million fields and texts of a repository of a thousand files. By its number a
field is found in a third of the time that its name takes, and a slice of the source in half of the
time of `Node.text`.
"""

import re
from collections.abc import Callable
from functools import cache

import tree_sitter
import tree_sitter_python

# Gives the source of a node.
TextOf = Callable[[tree_sitter.Node], str]

_STRING = re.compile(r"[A-Za-z]{0,2}('''|\"\"\"|'|\")(.*)\1", re.DOTALL)


@cache
def grammar() -> tree_sitter.Language:
    """Return the grammar."""
    return tree_sitter.Language(tree_sitter_python.language())


def _field(name: str) -> int:
    number = grammar().field_id_for_name(name)
    if number is None:
        raise LookupError(f"tree-sitter-python has no field {name}")
    return number


ALIAS = _field("alias")
ALTERNATIVE = _field("alternative")
ARGUMENTS = _field("arguments")
ATTRIBUTE = _field("attribute")
BODY = _field("body")
CAUSE = _field("cause")
CONDITION = _field("condition")
CONSEQUENCE = _field("consequence")
DEFINITION = _field("definition")
FUNCTION = _field("function")
KEY = _field("key")
LEFT = _field("left")
MODULE_NAME = _field("module_name")
NAME = _field("name")
OBJECT = _field("object")
OPERATOR = _field("operator")
PARAMETERS = _field("parameters")
RETURN_TYPE = _field("return_type")
RIGHT = _field("right")
SUBSCRIPT = _field("subscript")
SUPERCLASSES = _field("superclasses")
TYPE = _field("type")
VALUE = _field("value")


def text_reader(source: bytes) -> TextOf:
    """Return what gives the text of each node of the tree of `source`, which is UTF-8."""
    if source.isascii():
        characters = source.decode("ascii")
        return lambda node: characters[node.start_byte : node.end_byte]
    return lambda node: source[node.start_byte : node.end_byte].decode()


def token_of(node: tree_sitter.Node) -> tree_sitter.Node:
    """Return the token that names what an expression stands for: `c` of `a.b.c`."""
    if node.type == "attribute":
        return node.child_by_field_id(ATTRIBUTE) or node
    return node


def folded(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def string_content(text: str) -> str:
    """Return what stands between the quotes of a string literal, escapes as written."""
    match = _STRING.fullmatch(text)
    return match[2] if match else ""
