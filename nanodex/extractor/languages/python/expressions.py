"""Expressions of Python as nested lists, as far as types can be followed through them.

Forms: ["n", name] · ["a", E, attribute] · ["c", E, [args]] call · ["i", E, K] subscript ·
["b", L, dunder, R] operator · ["u", E, ...] one of · ["k", class] instance of a built-in ·
["none"] · ["tup", E, ...] · ["lit", class, E] container of E · ["map", K, V] dict of K to V ·
["e", E] an element of iteration · ["x", E] what `with` binds · ["s", E, i] item i of an unpacking ·
["t", T] an instance of annotation T · ["im", level, module, name] import · ["super"] · ["int", i].
An unknown part is None. Depth is bounded, so a record stays small whatever the source holds.
"""

import re

import tree_sitter

from nanodex.extractor.languages.python import syntax
from nanodex.extractor.languages.python.queries import (
    COMPREHENSIONS,
    DISPLAYS,
    LITERALS,
    OPERATORS,
)
from nanodex.extractor.languages.python.syntax import (
    TextOf,
    grammar,
    string_content,
    text_reader,
)
from nanodex.extractor.records import Expr

_MAX_DEPTH = 10
_MAX_ITEMS = 6
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def expression(node: tree_sitter.Node | None, text_of: TextOf, depth: int = 0) -> Expr | None:
    """Return the form of an expression; None where types are not followed through it."""
    if node is None or depth > _MAX_DEPTH:
        return None
    kind = node.type
    if kind == "identifier":
        return ["n", text_of(node)]
    if kind == "attribute":
        inner = expression(node.child_by_field_id(syntax.OBJECT), text_of, depth + 1)
        name = node.child_by_field_id(syntax.ATTRIBUTE)
        return ["a", inner, text_of(name)] if inner and name else None
    if kind == "call":
        return _call(node, text_of, depth)
    if kind in LITERALS:
        return ["k", "bytes" if _is_bytes(node, text_of) else LITERALS[kind]]
    if kind in {"await", "parenthesized_expression"}:
        return expression(_first(node), text_of, depth + 1)
    if kind == "none":
        return ["none"]
    if kind == "subscript":
        inner = expression(node.child_by_field_id(syntax.VALUE), text_of, depth + 1)
        key = _key(node.child_by_field_id(syntax.SUBSCRIPT), text_of, depth)
        return ["i", inner, key] if inner else None
    return _compound(node, text_of, kind, depth)


def _compound(node: tree_sitter.Node, text_of: TextOf, kind: str, depth: int) -> Expr | None:
    if kind in {"conditional_expression", "boolean_operator"}:
        parts = [node.named_children[0], node.named_children[-1]]
        if kind == "boolean_operator" and any(child.type == "and" for child in node.children):
            parts = parts[1:]
        found = [form for part in parts if (form := expression(part, text_of, depth + 1))]
        return ["u", *found] if found else None
    if kind == "binary_operator":
        left = expression(node.child_by_field_id(syntax.LEFT), text_of, depth + 1)
        operator = node.child_by_field_id(syntax.OPERATOR)
        right = expression(node.child_by_field_id(syntax.RIGHT), text_of, depth + 1)
        dunder = OPERATORS.get(operator.type) if operator else None
        return ["b", left, dunder, right] if left and dunder else None
    if kind == "named_expression":
        return expression(node.child_by_field_id(syntax.VALUE), text_of, depth + 1)
    if kind in {"tuple", "expression_list", "pattern_list", "tuple_pattern"}:
        return [
            "tup",
            *(expression(item, text_of, depth + 1) for item in node.named_children[:_MAX_ITEMS]),
        ]
    if kind in DISPLAYS:
        return ["lit", DISPLAYS[kind], expression(_first(node), text_of, depth + 1)]
    if kind in COMPREHENSIONS:
        return [
            "lit",
            COMPREHENSIONS[kind],
            expression(node.child_by_field_id(syntax.BODY), text_of, depth + 1),
        ]
    if kind in {"dictionary", "dictionary_comprehension"}:
        pair = _first(node)
        if pair is None or pair.type != "pair":
            return ["k", "dict"]
        key, value = pair.child_by_field_id(syntax.KEY), pair.child_by_field_id(syntax.VALUE)
        return ["map", expression(key, text_of, depth + 1), expression(value, text_of, depth + 1)]
    if kind == "type":
        return annotation(node, text_of, depth)
    return None


def _call(node: tree_sitter.Node, text_of: TextOf, depth: int) -> Expr | None:
    function = node.child_by_field_id(syntax.FUNCTION)
    arguments = node.child_by_field_id(syntax.ARGUMENTS)
    inner = expression(function, text_of, depth + 1)
    if inner is None:
        return None
    positional = [
        argument
        for argument in (arguments.named_children[:3] if arguments is not None else [])
        if argument.type not in {"keyword_argument", "comment", "dictionary_splat", "list_splat"}
    ]
    if inner == ["n", "super"]:
        return ["super"]
    if inner[-1] == "cast" and positional:
        return ["c", inner, [annotation(positional[0], text_of, depth + 1)]]
    return ["c", inner, [expression(argument, text_of, depth + 2) for argument in positional[:2]]]


def _key(node: tree_sitter.Node | None, text_of: TextOf, depth: int) -> Expr | None:
    if node is not None and node.type == "integer" and len(text_of(node)) < 5:
        digits = text_of(node)
        return ["int", int(digits)] if digits.isdecimal() else None
    return expression(node, text_of, depth + 1)


def annotation(node: tree_sitter.Node | None, text_of: TextOf, depth: int = 0) -> Expr | None:
    """Return the form of a type expression; strings in it are read as the code that they hold."""
    if node is None or depth > _MAX_DEPTH:
        return None
    kind = node.type
    if kind == "type":
        return annotation(_first(node), text_of, depth)
    if kind == "string":
        return _quoted(string_content(text_of(node)), depth)
    if kind == "generic_type":
        base, parameters = node.named_children[0], node.named_children[-1]
        inner = annotation(base, text_of, depth + 1)
        items = [
            annotation(item, text_of, depth + 1) for item in parameters.named_children[:_MAX_ITEMS]
        ]
        return ["i", inner, ["tup", *items]] if inner else None
    if kind == "subscript":
        inner = annotation(node.child_by_field_id(syntax.VALUE), text_of, depth + 1)
        keys = node.children_by_field_id(syntax.SUBSCRIPT)[:_MAX_ITEMS]
        return (
            ["i", inner, ["tup", *(annotation(k, text_of, depth + 1) for k in keys)]]
            if inner
            else None
        )
    if kind in {"binary_operator", "union_type"}:
        parts = [annotation(child, text_of, depth + 1) for child in node.named_children]
        return ["u", *(part for part in parts if part)]
    if kind == "member_type":
        inner = annotation(node.named_children[0], text_of, depth + 1)
        return ["a", inner, text_of(node.named_children[-1])] if inner else None
    if kind in {"list", "tuple"}:
        return [
            "tup",
            *(annotation(item, text_of, depth + 1) for item in node.named_children[:_MAX_ITEMS]),
        ]
    if kind in {"identifier", "attribute", "none", "parenthesized_expression"}:
        return expression(node, text_of, depth)
    return None


def _quoted(code: str, depth: int) -> Expr | None:
    if _DOTTED.fullmatch(code):
        first, *rest = code.split(".")
        form: Expr = ["n", first]
        for name in rest[:_MAX_DEPTH]:
            form = ["a", form, name]
        return form
    if len(code) > 400 or depth > 3:
        return None
    content = code.encode()
    tree = tree_sitter.Parser(grammar()).parse(content)
    statement = _first(tree.root_node)
    if statement is None or tree.root_node.has_error or statement.type != "expression_statement":
        return None
    return annotation(_first(statement), text_reader(content), depth + 2)


def _first(node: tree_sitter.Node) -> tree_sitter.Node | None:
    return next((child for child in node.named_children if child.type != "comment"), None)


def _is_bytes(node: tree_sitter.Node, text_of: TextOf) -> bool:
    return node.type == "string" and "b" in text_of(node)[:3].split("'")[0].split('"')[0].lower()
