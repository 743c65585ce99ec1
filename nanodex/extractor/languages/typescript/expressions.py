"""TypeScript and JavaScript expressions and types as terms."""

import tree_sitter

from nanodex.extractor.languages.typescript import queries
from nanodex.extractor.typed.terms import (
    MAX_DEPTH,
    NONE,
    SUPER,
    THIS,
    Term,
    member,
    name,
    type_of,
    value_of,
)

_LITERALS = {
    "string": "String",
    "template_string": "String",
    "number": "Number",
    "regex": "RegExp",
    "true": "Boolean",
    "false": "Boolean",
}
_PREDEFINED = {"string": "String", "number": "Number", "boolean": "Boolean", "symbol": "Symbol"}
_INSIDE = frozenset({"non_null_expression", "parenthesized_expression"})


def text(node: tree_sitter.Node | None) -> str:
    """Return the source text of a node."""
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def string(node: tree_sitter.Node | None) -> str:
    """Return the text of a string literal without its quotes; empty for any other node."""
    if node is None or node.type not in ("string", "template_string"):
        return ""
    return text(node)[1:-1]


def type_term(node: tree_sitter.Node | None, depth: int = 0) -> Term | None:
    """Return the term of a written type; None for what names no single class."""
    if node is None or depth > MAX_DEPTH:
        return None
    kind = node.type
    if kind in ("type_annotation", "parenthesized_type", "readonly_type", "asserts"):
        return type_term(node.named_children[-1], depth + 1) if node.named_children else None
    if kind in ("type_identifier", "identifier"):
        return type_of(text(node), node.start_byte)
    if kind in ("nested_type_identifier", "nested_identifier", "member_expression"):
        return type_of("".join(text(node).split()), node.start_byte)
    if kind == "generic_type":
        head = type_term(node.child_by_field_name("name"), depth + 1)
        listed = node.child_by_field_name("type_arguments")
        arguments = tuple(
            type_term(child, depth + 1) or NONE
            for child in (listed.named_children if listed else ())
        )
        if head is not None and head.text in queries.TRANSPARENT and arguments:
            return arguments[0] if arguments[0].op == "type" else None
        return type_of(head.text, head.at, *arguments) if head is not None else None
    if kind == "array_type":
        element = type_term(node.named_children[0], depth + 1) if node.named_children else None
        return type_of("[]", node.start_byte, element or NONE)
    if kind == "predefined_type":
        known = _PREDEFINED.get(text(node))
        return type_of(known, -1) if known else None
    if kind == "this_type":
        return Term("this")
    if kind == "union_type":
        # `T | undefined` and `T | null` read as T: a member of it is a member of T.
        parts = [c for c in node.named_children if text(c) not in ("undefined", "null")]
        return type_term(parts[0], depth + 1) if len(parts) == 1 else None
    return None


def expression(node: tree_sitter.Node | None, depth: int = 0) -> Term:
    """Return the term of an expression."""
    if node is None or depth > MAX_DEPTH:
        return NONE
    kind = node.type
    if kind in ("identifier", "shorthand_property_identifier"):
        return name(text(node), node.start_byte)
    if kind == "this":
        return THIS
    if kind == "super":
        return SUPER
    if kind == "member_expression":
        property_ = node.child_by_field_name("property")
        return member(expression(node.child_by_field_name("object"), depth + 1), text(property_))
    if kind == "subscript_expression":
        base = expression(node.child_by_field_name("object"), depth + 1)
        index = node.child_by_field_name("index")
        if index is not None and index.type == "string":
            return member(base, string(index))
        return NONE if base.op == "none" else Term("item", "", 0, (base,))
    if kind == "call_expression":
        return call(node, depth)
    if kind == "new_expression":
        return value_of(constructed(node))
    if kind in ("as_expression", "satisfies_expression"):
        children = node.named_children
        if kind == "as_expression" and len(children) > 1:
            return value_of(type_term(children[-1]))
        return expression(children[0], depth + 1) if children else NONE
    if kind in _INSIDE and node.named_children:
        return expression(node.named_children[-1], depth + 1)
    if kind == "await_expression" and node.named_children:
        awaited = expression(node.named_children[-1], depth + 1)
        return NONE if awaited.op == "none" else Term("await", "", 0, (awaited,))
    if kind == "assignment_expression":
        return expression(node.child_by_field_name("right"), depth + 1)
    if kind == "array":
        return value_of(type_of("[]", node.start_byte, NONE))
    if kind in _LITERALS:
        return value_of(type_of(_LITERALS[kind], -1))
    return NONE


def constructed(node: tree_sitter.Node) -> Term | None:
    """Return the type that a `new` expression makes."""
    term = type_term(node.child_by_field_name("constructor"))
    listed = node.child_by_field_name("type_arguments")
    if term is None or listed is None:
        return term
    return type_of(
        term.text, term.at, *(type_term(child) or NONE for child in listed.named_children)
    )


def call(node: tree_sitter.Node, depth: int = 0) -> Term:
    """Return the term of a call."""
    function = node.child_by_field_name("function")
    if function is None or function.type == "import":
        return NONE
    given = node.child_by_field_name("arguments")
    if text(function) == "require" and given is not None:
        module = string(given.named_children[0]) if given.named_children else ""
        return Term("module", module) if module else NONE
    listed = given.named_children if given is not None and given.type == "arguments" else ()
    arguments = (expression(child, depth + 1) for child in listed if child.type != "comment")
    return Term("call", "", 0, (expression(function, depth + 1), *arguments))


def callee_token(function: tree_sitter.Node) -> tree_sitter.Node:
    """Return the token that names what is called: `get` in `this.client.get`."""
    while function.type in _INSIDE and function.named_children:
        function = function.named_children[-1]
    if function.type == "member_expression":
        return function.child_by_field_name("property") or function
    if function.type == "subscript_expression":
        return function.child_by_field_name("index") or function
    return function
