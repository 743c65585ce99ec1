"""C++ expressions and types as terms."""

import tree_sitter

from nanodex.extractor.languages.cpp import queries
from nanodex.extractor.typed.terms import (
    MAX_DEPTH,
    NONE,
    THIS,
    Term,
    member,
    name,
    type_of,
    value_of,
)


def text(node: tree_sitter.Node | None) -> str:
    """Return the source text of a node."""
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def segments(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """Return the parts of `a::b<T>::c`, each without its arguments' names."""
    found: list[tree_sitter.Node] = []
    current: tree_sitter.Node | None = node
    while current is not None and current.type == "qualified_identifier":
        scope = current.child_by_field_name("scope")
        if scope is not None:
            found.append(scope)
        current = current.child_by_field_name("name")
    if current is not None:
        found.append(current)
    return found


def plain(node: tree_sitter.Node) -> str:
    """Return a name without its template arguments."""
    inner = node.child_by_field_name("name")
    return text(inner) if inner is not None and "template" in node.type else text(node)


def dotted(node: tree_sitter.Node) -> str:
    """Return `a.b.c` of `a::b<T>::c`."""
    return ".".join(plain(part) for part in segments(node) if text(part))


def token(node: tree_sitter.Node) -> tree_sitter.Node:
    """Return the token that names what an expression or a type means."""
    while True:
        if node.type == "qualified_identifier":
            node = segments(node)[-1]
        elif node.type == "field_expression":
            node = node.child_by_field_name("field") or node
            if node.type == "field_expression":
                return node
        elif "template" in node.type and node.child_by_field_name("name") is not None:
            node = node.child_by_field_name("name") or node
        else:
            return node


def template_arguments(node: tree_sitter.Node, depth: int = 0) -> tuple[Term, ...]:
    """Return the template arguments of the last part of a name."""
    last = segments(node)[-1]
    listed = last.child_by_field_name("arguments") if "template" in last.type else None
    children = listed.named_children if listed is not None else ()
    return tuple(type_term(child, depth + 1) or NONE for child in children)


def type_term(node: tree_sitter.Node | None, depth: int = 0) -> Term | None:
    """Return the term of a written type; None for `auto` and fundamental types."""
    if node is None or depth > MAX_DEPTH:
        return None
    if node.type == "type_descriptor":
        return type_term(node.child_by_field_name("type"), depth + 1)
    if node.type in queries.CLASSES or node.type == "enum_specifier":
        named = node.child_by_field_name("name")
        return type_of(dotted(named), node.start_byte) if named is not None else None
    if node.type in ("type_identifier", "template_type", "qualified_identifier", "identifier"):
        return type_of(dotted(node), node.start_byte, *template_arguments(node, depth))
    if node.type == "dependent_type" and node.named_children:
        return type_term(node.named_children[-1], depth + 1)
    return None


def expression(node: tree_sitter.Node | None, depth: int = 0) -> Term:
    """Return the term of an expression."""
    if node is None or depth > MAX_DEPTH:
        return NONE
    kind = node.type
    if kind in ("identifier", "namespace_identifier", "field_identifier"):
        return name(text(node), node.start_byte)
    if kind == "this":
        return THIS
    if kind == "template_function":
        return expression(node.child_by_field_name("name"), depth + 1)
    if kind == "qualified_identifier":
        parts = segments(node)
        term = name(plain(parts[0]), parts[0].start_byte)
        for part in parts[1:]:
            term = member(term, plain(part))
        return term
    if kind == "field_expression":
        base = expression(node.child_by_field_name("argument"), depth + 1)
        field = node.child_by_field_name("field")
        if field is None or base.op == "none":
            return NONE
        arrow = any(child.type == "->" for child in node.children)
        return Term("arrow" if arrow else "member", plain(field), 0, (base,))
    if kind == "call_expression":
        return call(node, depth)
    if kind == "new_expression":
        return value_of(type_term(node.child_by_field_name("type")))
    if kind == "cast_expression":
        return value_of(type_term(node.child_by_field_name("type")))
    if kind == "compound_literal_expression":
        return value_of(type_term(node.child_by_field_name("type")))
    if kind == "parenthesized_expression" and node.named_children:
        return expression(node.named_children[0], depth + 1)
    if kind == "pointer_expression":
        inner = expression(node.child_by_field_name("argument"), depth + 1)
        if any(child.type == "*" for child in node.children) and inner.op != "none":
            return Term("deref", "", 0, (inner,))
        return inner
    if kind == "subscript_expression":
        base = expression(node.child_by_field_name("argument"), depth + 1)
        return NONE if base.op == "none" else Term("index", "", 0, (base,))
    if kind == "assignment_expression":
        return expression(node.child_by_field_name("left"), depth + 1)
    return NONE


def call(node: tree_sitter.Node, depth: int = 0) -> Term:
    """Return the term of a call; casts and makers give values of the type they name."""
    function = node.child_by_field_name("function")
    if function is None:
        return NONE
    written = dotted(function).rsplit(".", 1)[-1]
    if "template" in segments(function)[-1].type:
        given = template_arguments(function)
        if written in queries.CASTS and given:
            return value_of(given[0])
        if written in queries.MAKERS and given:
            return value_of(type_of(queries.MAKERS[written], -1, given[0]))
    if written == "move" and dotted(function) == "std.move":
        listed = node.child_by_field_name("arguments")
        if listed is not None and listed.named_children:
            return expression(listed.named_children[0], depth + 1)
    return Term("call", "", 0, (expression(function, depth + 1), *arguments(node, depth)))


def arguments(node: tree_sitter.Node, depth: int = 0) -> tuple[Term, ...]:
    """Return the terms of the arguments of a call."""
    listed = node.child_by_field_name("arguments")
    children = listed.named_children if listed is not None else ()
    return tuple(expression(child, depth + 1) for child in children if child.type != "comment")


def first_string(node: tree_sitter.Node | None) -> str:
    """Return the text of the first string literal in `node`."""
    stack = [node] if node is not None else []
    while stack:
        current = stack.pop()
        if current.type == "string_literal":
            return text(current).split('"', 1)[-1].removesuffix('"')
        stack.extend(reversed(current.named_children))
    return ""
