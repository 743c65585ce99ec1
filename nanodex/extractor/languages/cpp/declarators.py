"""C++ declarators: from `*name(int a)[3]` to a name and its parameters."""

import tree_sitter

from nanodex.extractor.languages.cpp import queries
from nanodex.extractor.languages.cpp.expressions import text
from nanodex.extractor.records import Parameter


def function_of(node: tree_sitter.Node | None) -> tree_sitter.Node | None:
    """Return the function declarator inside a declarator; None for variables.

    A pointer to a function, `(*f)(int)`, is a variable.
    """
    while node is not None:
        if node.type == "function_declarator":
            inner = node.child_by_field_name("declarator")
            return None if inner is not None and inner.type == "parenthesized_declarator" else node
        if node.type not in queries.WRAPPERS:
            return None
        node = inside(node)
    return None


def inside(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """Return the declarator that `node` wraps."""
    found = node.child_by_field_name("declarator")
    if found is None and node.named_children:
        found = node.named_children[-1]
    return found


def name_of(node: tree_sitter.Node | None) -> tree_sitter.Node | None:
    """Return the node of the name that a declarator declares."""
    while node is not None and node.type not in queries.NAMES:
        if node.type not in queries.WRAPPERS and node.type != "function_declarator":
            return None
        node = inside(node)
    return node


def is_array(node: tree_sitter.Node | None) -> bool:
    """Whether a declarator declares an array."""
    while node is not None and node.type in queries.WRAPPERS:
        if node.type == "array_declarator":
            return True
        node = inside(node)
    return False


def parameter_nodes(function: tree_sitter.Node | None) -> list[tree_sitter.Node]:
    """Return the declared parameters of a function or lambda."""
    listed = function.child_by_field_name("parameters") if function is not None else None
    kinds = (
        "parameter_declaration",
        "optional_parameter_declaration",
        "variadic_parameter_declaration",
    )
    found = [c for c in listed.named_children if c.type in kinds] if listed is not None else []
    return [] if len(found) == 1 and text(found[0]) == "void" else found


def parameter(node: tree_sitter.Node, source: bytes) -> Parameter:
    """Return a parameter; its annotation is all that is not its name or default."""
    declarator = node.child_by_field_name("declarator")
    named = name_of(declarator)
    value = node.child_by_field_name("default_value")
    end = value.start_byte if value is not None else node.end_byte
    token = named if named is not None else node
    if named is not None:
        before = source[node.start_byte : named.start_byte]
        after = source[named.end_byte : end]
        annotation = (before + after).decode(errors="replace")
    else:
        annotation = source[node.start_byte : end].decode(errors="replace")
    annotation = " ".join(annotation.rstrip("= \n\t").split())
    return Parameter(text(named), annotation, text(value), token.start_byte, token.end_byte)
