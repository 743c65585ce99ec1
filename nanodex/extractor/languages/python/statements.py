"""How each statement of Python binds names, and for which block of statements they hold."""

import tree_sitter

from nanodex.extractor.languages.python import syntax
from nanodex.extractor.languages.python.queries import (
    COMPREHENSIONS,
)
from nanodex.extractor.languages.python.syntax import folded
from nanodex.extractor.languages.python.walk import Context, Handler, Walk
from nanodex.extractor.records import Binding, Expr


def bind_target(
    walk: Walk, target: tree_sitter.Node, form: str, value: Expr | None, context: Context,
    node: tree_sitter.Node, end: int | None = None,
) -> None:  # fmt: skip
    """Bind every name of an assignment's left side, `a`, `self.a`, `a, b` or `(a, *b)`."""
    kind = target.type
    if kind == "identifier":
        walk.bind(context, walk.text_of(target), form, value, node, end)
    elif kind == "attribute":
        owner, name = (
            target.child_by_field_id(syntax.OBJECT),
            target.child_by_field_id(syntax.ATTRIBUTE),
        )
        if (
            owner is not None and name is not None and context.owner >= 0
            and context.self_name and walk.text_of(owner) == context.self_name
        ):  # fmt: skip
            inside = ["in", context.scope, value] if value else None
            walk.record.bindings.append(
                Binding(context.owner, walk.text_of(name), f"self {form}", inside, node.start_byte,
                        context.block_end)
            )  # fmt: skip
    elif kind in {"pattern_list", "tuple_pattern", "list_pattern", "expression_list", "tuple"}:
        for position, item in enumerate(target.named_children):
            if value is not None and value[0] == "tup":
                part = value[position + 1] if position + 1 < len(value) else None
            else:
                part = ["s", value, position] if value else None
            bind_target(walk, item, form, part, context, node, end)


def _import(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    for child in node.children_by_field_id(syntax.NAME):
        dotted, alias = _aliased(child)
        target: Expr = ["im", 0, walk.text_of(dotted), None]
        walk.refer(context, "imports", dotted, target, name=walk.text_of(dotted))
        if alias is not None:
            walk.bind(context, walk.text_of(alias), "import", target, node)
        else:
            first = walk.text_of(dotted.named_children[0])
            walk.bind(context, first, "import", ["im", 0, first, None], node)


def _import_from(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    module = node.child_by_field_id(syntax.MODULE_NAME)
    if module is None:
        return
    text = walk.text_of(module)
    dotted = text.lstrip(". \\\n\t")
    level = text[: len(text) - len(dotted)].count(".")
    for child in node.children_by_field_id(syntax.NAME):
        named, alias = _aliased(child)
        target: Expr = ["im", level, dotted, walk.text_of(named)]
        walk.refer(context, "imports", named, target, name=f"{text}.{walk.text_of(named)}")
        walk.bind(context, walk.text_of(alias or named), "import", target, node)
    if any(child.type == "wildcard_import" for child in node.children):
        target = ["im", level, dotted, None]
        walk.refer(context, "imports", module, target, name=f"{text}.*")
        walk.bind(context, "*", "import", target, node)


def _aliased(node: tree_sitter.Node) -> tuple[tree_sitter.Node, tree_sitter.Node | None]:
    if node.type == "aliased_import":
        name = node.child_by_field_id(syntax.NAME)
        return name or node, node.child_by_field_id(syntax.ALIAS)
    return node, None


def _for(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    left, right = node.child_by_field_id(syntax.LEFT), node.child_by_field_id(syntax.RIGHT)
    if left is not None and right is not None:
        walk.visit(right, context)
        form = walk.expression(right)
        bind_target(walk, left, "assign", ["e", form] if form else None, context, node)
    walk.block(node.child_by_field_id(syntax.BODY), context)
    for child in node.named_children:
        if child.type == "else_clause":
            walk.visit(child, context)


def _comprehension(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    # Its names live in it alone; giving them the range of the comprehension says the same.
    inner = context._replace(block_end=node.end_byte)
    for child in node.named_children:
        left, right = child.child_by_field_id(syntax.LEFT), child.child_by_field_id(syntax.RIGHT)
        if child.type == "for_in_clause" and left is not None:
            form = walk.expression(right)
            bind_target(walk, left, "assign", ["e", form] if form else None, inner, node)
    for child in node.named_children:
        left = child.child_by_field_id(syntax.LEFT) if child.type == "for_in_clause" else None
        for part in child.named_children if left is not None else (child,):
            walk.visit(part, inner)


def _with_item(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    value = node.child_by_field_id(syntax.VALUE)
    if value is None:
        return
    if value.type == "as_pattern":
        source, alias = value.named_children[0], value.child_by_field_id(syntax.ALIAS)
        walk.visit(source, context)
        target = alias.named_children[0] if alias is not None and alias.named_children else None
        if target is not None:
            form = walk.expression(source)
            bind_target(walk, target, "assign", ["x", form] if form else None, context, node)
    else:
        walk.visit(value, context)


def _except(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    body = node.named_children[-1] if node.named_children else None
    for child in node.named_children:
        if child.type == "as_pattern" and body is not None:
            caught, alias = child.named_children[0], child.child_by_field_id(syntax.ALIAS)
            walk.visit(caught, context)
            name = alias.named_children[0] if alias is not None and alias.named_children else None
            if name is not None and name.type == "identifier":
                form = walk.annotation(caught)
                if form is not None and form[0] == "tup":
                    form = ["u", *(item for item in form[1:] if item)]
                value: Expr | None = ["t", form] if form else None
                walk.bind(context, walk.text_of(name), "assign", value, node, body.end_byte)
        elif child.type == "block":
            walk.block(child, context)
        else:
            walk.visit(child, context)


def _if(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    condition = node.child_by_field_id(syntax.CONDITION)
    consequence = node.child_by_field_id(syntax.CONSEQUENCE)
    text = folded(walk.text_of(condition)) if condition is not None else ""
    if condition is not None:
        walk.visit(condition, context)
        if consequence is not None:
            _narrow(walk, condition, context, consequence, consequence.end_byte)
        if context.scope == 0 and text.replace("'", '"') == '__name__ == "__main__"':
            walk.attribute(0, "entry_point", "__main__", condition)
    walk.block(consequence, context, text)
    for alternative in node.children_by_field_id(syntax.ALTERNATIVE):
        if alternative.type == "elif_clause":
            _if(walk, alternative, context)
        else:
            # What an else is about is the opposite of its condition: the source does not say it.
            inner = context._replace(condition="")
            walk.block(alternative.child_by_field_id(syntax.BODY), inner)


def _narrow(
    walk: Walk, condition: tree_sitter.Node, context: Context, at: tree_sitter.Node, end: int
) -> None:
    """`isinstance(name, T)`, alone or as part of an `and`, says what `name` is."""
    if condition.type == "boolean_operator" and any(c.type == "and" for c in condition.children):
        for part in condition.named_children:
            _narrow(walk, part, context, at, end)
        return
    function = condition.child_by_field_id(syntax.FUNCTION)
    arguments = condition.child_by_field_id(syntax.ARGUMENTS)
    if function is None or arguments is None or walk.text_of(function) != "isinstance":
        return
    if arguments.named_child_count == 2 and arguments.named_children[0].type == "identifier":
        name, kind = arguments.named_children
        form = walk.annotation(kind)
        if form is not None and form[0] == "tup":
            form = ["u", *(item for item in form[1:] if item)]
        if form is not None:
            walk.bind(context, walk.text_of(name), "narrowed", ["t", form], at, end)


def _assert(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    walk.visit_children(node, context)
    if node.named_children:
        _narrow(walk, node.named_children[0], context, node, context.block_end)


def _return(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    value = node.named_children[0] if node.named_children else None
    walk.bind(context, "<result>", "return", walk.expression(value) if value else ["none"], node)
    walk.visit_children(node, context)


def _yield(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    value = walk.expression(node.named_children[0]) if node.named_children else ["none"]
    if any(child.type == "from" for child in node.children):
        value = ["e", value] if value else None
    walk.bind(context, "<result>", "yield", value, node)
    walk.visit_children(node, context)


def _lambda(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    parameters = node.child_by_field_id(syntax.PARAMETERS)
    for parameter in parameters.named_children if parameters is not None else ():
        name = parameter.child_by_field_id(syntax.NAME) or parameter
        if name.type == "identifier":
            walk.bind(context, walk.text_of(name), "parameter", None, node, node.end_byte)
        default = parameter.child_by_field_id(syntax.VALUE)
        if default is not None:
            walk.visit(default, context)
    body = node.child_by_field_id(syntax.BODY)
    if body is not None:
        walk.visit(body, context)


def _named(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    name, value = node.child_by_field_id(syntax.NAME), node.child_by_field_id(syntax.VALUE)
    if name is not None and value is not None:
        walk.bind(context, walk.text_of(name), "assign", walk.expression(value), node)
        walk.visit(value, context)


def _global(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    # The binding belongs to the module; a rare statement, seen before the names it declares.
    for child in node.named_children:
        walk.declare_global(context, walk.text_of(child))


HANDLERS: dict[str, Handler] = {
    "import_statement": _import,
    "import_from_statement": _import_from,
    "for_statement": _for,
    "with_item": _with_item,
    "except_clause": _except,
    "except_group_clause": _except,
    "if_statement": _if,
    "assert_statement": _assert,
    "return_statement": _return,
    "yield": _yield,
    "lambda": _lambda,
    "named_expression": _named,
    "global_statement": _global,
    "block": lambda walk, node, context: walk.block(node, context),
    **dict.fromkeys([*COMPREHENSIONS, "dictionary_comprehension"], _comprehension),
}
