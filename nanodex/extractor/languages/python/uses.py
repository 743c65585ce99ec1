"""What a Python file uses: what it calls and raises, environment variables, routes and commands."""

import tree_sitter

from nanodex.extractor.languages.python import syntax
from nanodex.extractor.languages.python.queries import (
    COMMAND_METHODS,
    ENVIRONMENT_CALLS,
    ENVIRONMENT_MAPPINGS,
    ROUTE_METHODS,
)
from nanodex.extractor.languages.python.syntax import string_content, token_of
from nanodex.extractor.languages.python.walk import Context, Handler, Walk


def _call(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    function = node.child_by_field_id(syntax.FUNCTION)
    if function is not None:
        name = walk.text_of(function)
        walk.refer(context, "calls", token_of(function), walk.expression(function), name=name)
        if name in ENVIRONMENT_CALLS:
            _read_environment(walk, node, context)
    walk.visit_children(node, context)


def _raise(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    raised = node.named_children[0] if node.named_children else None
    cause = node.child_by_field_id(syntax.CAUSE)
    if raised is not None and raised != cause:
        message = ""
        named = raised
        if raised.type == "call":
            named = raised.child_by_field_id(syntax.FUNCTION) or raised
            message = _first_string(walk, raised.child_by_field_id(syntax.ARGUMENTS))
        walk.refer(
            context, "raises", token_of(named), walk.expression(raised), name=walk.text_of(named)
        )
        walk.raise_site(context, node, walk.text_of(named), message)
    walk.visit_children(node, context)


def _first_string(walk: Walk, node: tree_sitter.Node | None) -> str:
    """Return the content of the first string literal below `node`, in source order."""
    if node is None:
        return ""
    for child in node.named_children:
        if child.type == "string":
            return string_content(walk.text_of(child))
        if child.type not in {"lambda", "interpolation"} and (found := _first_string(walk, child)):
            return found
    return ""


def _subscript(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    value, key = node.child_by_field_id(syntax.VALUE), node.child_by_field_id(syntax.SUBSCRIPT)
    if value is not None and key is not None and key.type == "string":
        if walk.text_of(value) in ENVIRONMENT_MAPPINGS:
            walk.attribute(context.scope, "reads_env", string_content(walk.text_of(key)), node)
    walk.visit_children(node, context)


def _read_environment(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    """Record the variable that `os.environ.get("X")` and its like read."""
    arguments = node.child_by_field_id(syntax.ARGUMENTS)
    first = arguments.named_children[0] if arguments and arguments.named_children else None
    if first is not None and first.type == "string":
        walk.attribute(context.scope, "reads_env", string_content(walk.text_of(first)), node)


def read_route(walk: Walk, decorator: tree_sitter.Node, index: int) -> None:
    """Record the route or command that a decorator such as `@app.get("/x")` registers."""
    call = decorator.named_children[0] if decorator.named_children else None
    if call is None or call.type != "call":
        return
    function = call.child_by_field_id(syntax.FUNCTION)
    arguments = call.child_by_field_id(syntax.ARGUMENTS)
    if function is None or arguments is None or function.type != "attribute":
        return
    method = walk.text_of(token_of(function))
    first = arguments.named_children[0] if arguments.named_children else None
    literal = string_content(walk.text_of(first)) if first and first.type == "string" else ""
    if method in ROUTE_METHODS and literal.startswith("/"):
        for verb in _verbs(walk, arguments) if method == "route" else [method.upper()]:
            walk.attribute(index, "route", f"{verb} {literal}", decorator)
    elif method in COMMAND_METHODS:
        name = literal or walk.record.symbols[index].name.replace("_", "-")
        walk.attribute(index, "route", name, decorator)


def _verbs(walk: Walk, arguments: tree_sitter.Node) -> list[str]:
    for argument in arguments.named_children:
        name = argument.child_by_field_id(syntax.NAME)
        value = argument.child_by_field_id(syntax.VALUE)
        if name is not None and walk.text_of(name) == "methods" and value is not None:
            verbs = [string_content(walk.text_of(item)) for item in value.named_children]
            return [verb.upper() for verb in verbs if verb] or ["GET"]
    return ["GET"]


HANDLERS: dict[str, Handler] = {
    "call": _call,
    "raise_statement": _raise,
    "subscript": _subscript,
}
