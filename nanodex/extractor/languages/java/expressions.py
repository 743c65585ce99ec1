"""Java expressions and types as terms."""

import tree_sitter

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
    "string_literal": "java.lang.String",
    "text_block": "java.lang.String",
    "decimal_integer_literal": "int",
    "hex_integer_literal": "int",
    "character_literal": "char",
    "decimal_floating_point_literal": "double",
    "true": "boolean",
    "false": "boolean",
}


def text(node: tree_sitter.Node) -> str:
    """Return the source text of a node."""
    return (node.text or b"").decode(errors="replace")


def type_term(node: tree_sitter.Node | None, depth: int = 0) -> Term | None:
    """Return the term of a written type; None for `var` and what cannot be named."""
    if node is None or depth > MAX_DEPTH:
        return None
    kind = node.type
    if kind in ("type_identifier", "identifier"):
        written = text(node)
        return None if written == "var" else type_of(written, node.start_byte)
    if kind in ("scoped_type_identifier", "scoped_identifier"):
        written = "".join(part for part in text(node).split() if not part.startswith("@"))
        return type_of(written.split("<")[0], node.start_byte)
    if kind == "generic_type":
        head = type_term(node.named_children[0], depth + 1)
        arguments = next((c for c in node.named_children if c.type == "type_arguments"), None)
        if head is None or arguments is None:
            return head
        return type_of(
            head.text,
            head.at,
            *(type_term(child, depth + 1) or NONE for child in arguments.named_children),
        )
    if kind == "array_type":
        element = type_term(node.child_by_field_name("element"), depth + 1)
        return type_of("[]", node.start_byte, element or NONE)
    if kind in ("integral_type", "floating_point_type", "boolean_type"):
        return type_of(text(node), node.start_byte)
    if kind in ("annotated_type", "wildcard") and node.named_children:
        return type_term(node.named_children[-1], depth + 1)
    return None


def expression(node: tree_sitter.Node | None, depth: int = 0) -> Term:
    """Return the term of an expression."""
    if node is None or depth > MAX_DEPTH:
        return NONE
    kind = node.type
    if kind == "identifier":
        return name(text(node), node.start_byte)
    if kind == "this":
        return THIS
    if kind == "super":
        return SUPER
    if kind == "field_access":
        base = node.child_by_field_name("object")
        field = node.child_by_field_name("field")
        if field is None:
            return NONE
        if field.type == "this":  # Outer.this
            return value_of(type_term(base))
        return member(expression(base, depth + 1), text(field))
    if kind == "method_invocation":
        return call(node, depth)
    if kind == "object_creation_expression":
        return value_of(type_term(node.child_by_field_name("type")))
    if kind == "array_creation_expression":
        element = type_term(node.child_by_field_name("type"))
        return value_of(type_of("[]", node.start_byte, element or NONE))
    if kind == "cast_expression":
        return value_of(type_term(node.child_by_field_name("type")))
    if kind == "parenthesized_expression" and node.named_children:
        return expression(node.named_children[-1], depth + 1)
    if kind == "assignment_expression":
        return expression(node.child_by_field_name("left"), depth + 1)
    if kind == "array_access":
        return Term("item", "", 0, (expression(node.child_by_field_name("array"), depth + 1),))
    if kind == "class_literal":
        return value_of(type_of("java.lang.Class", node.start_byte))
    if kind in _LITERALS:
        return value_of(type_of(_LITERALS[kind], -1))
    if kind == "binary_expression":
        return _binary(node, depth)
    return NONE


def call(node: tree_sitter.Node, depth: int = 0) -> Term:
    """Return the term of a method invocation."""
    method = node.child_by_field_name("name")
    if method is None:
        return NONE
    base = node.child_by_field_name("object")
    if base is None:
        callee = name(text(method), method.start_byte)
    elif base.type == "field_access" and _is_qualified_super(node):
        callee = NONE
    elif any(child.type == "super" for child in node.children[:4]) and base.type != "super":
        # Interface.super.method(): the base is the interface itself.
        callee = member(value_of(type_term(base)), text(method))
    else:
        callee = member(expression(base, depth + 1), text(method))
    return Term("call", "", 0, (callee, *arguments(node, depth)))


def arguments(node: tree_sitter.Node, depth: int = 0) -> tuple[Term, ...]:
    """Return the terms of the arguments of a call or a creation."""
    given = node.child_by_field_name("arguments")
    if given is None:
        return ()
    return tuple(
        expression(child, depth + 1)
        for child in given.named_children
        if "comment" not in child.type
    )


def _is_qualified_super(node: tree_sitter.Node) -> bool:
    base = node.child_by_field_name("object")
    field = base.child_by_field_name("field") if base is not None else None
    return field is not None and field.type == "super"


def _binary(node: tree_sitter.Node, depth: int) -> Term:
    operator = node.child_by_field_name("operator")
    written = text(operator) if operator is not None else ""
    if written in ("==", "!=", "<", ">", "<=", ">=", "&&", "||"):
        return value_of(type_of("boolean", -1))
    sides = [expression(node.child_by_field_name(side), depth + 1) for side in ("left", "right")]
    string = value_of(type_of("java.lang.String", -1))
    return string if written == "+" and string in sides else NONE
