"""What a Python file defines: functions, classes, and variables of modules and classes."""

from collections.abc import Sequence
from inspect import cleandoc

import tree_sitter

from nanodex.extractor.languages.python import statements, syntax, uses
from nanodex.extractor.languages.python.syntax import TextOf, folded, string_content, token_of
from nanodex.extractor.languages.python.walk import Context, Handler, Walk
from nanodex.extractor.records import Binding, Expr, Parameter, Symbol

_MAX_VALUE_BYTES = 1000
_STARS = {"list_splat_pattern": "*", "dictionary_splat_pattern": "**"}


def define_module(walk: Walk, root: tree_sitter.Node) -> None:
    """Record a file's module, the first of its symbols, and all that it holds."""
    walk.define(
        Symbol(
            "module", "", "", -1, 1, root.end_point[0] + 1, 0, root.end_byte, 0, 0,
            signature="", docstring=_docstring(walk, root), visibility="public",
        )
    )  # fmt: skip
    walk.visit_children(root, Context(root.end_byte))


def _decorated(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    decorators = [child for child in node.named_children if child.type == "decorator"]
    for decorator in decorators:
        walk.visit_children(decorator, context)
    definition = node.child_by_field_id(syntax.DEFINITION)
    if definition is None:
        return
    if definition.type == "class_definition":
        _class(walk, definition, context, decorators)
    else:
        _function(walk, definition, context, decorators)


def _function(
    walk: Walk,
    node: tree_sitter.Node,
    context: Context,
    decorators: Sequence[tree_sitter.Node] = (),
) -> None:
    name, body = node.child_by_field_id(syntax.NAME), node.child_by_field_id(syntax.BODY)
    listed = node.child_by_field_id(syntax.PARAMETERS)
    if name is None or body is None:
        return
    method = context.scope == context.owner
    returns = node.child_by_field_id(syntax.RETURN_TYPE)
    parameters = [_Parameter(child) for child in listed.named_children] if listed else []
    index = _define(
        walk, "method" if method else "function", node, name, body, context, decorators,
        returns=folded(walk.text_of(returns)) if returns else "",
        parameters=tuple(p.read(walk.text_of) for p in parameters if p.name is not None),
    )  # fmt: skip
    bound = method and "staticmethod" not in walk.record.symbols[index].decorators
    first = parameters[0].name if parameters else None
    self_name = (walk.text_of(first) if first else "") if bound else context.self_name
    inner = context._replace(
        block_end=body.end_byte, scope=index, self_name=self_name, condition=""
    )
    if returns is not None:
        _bind_result(walk, inner, "returns", walk.annotation(returns), node)
    if node.children[0].type == "async":
        _bind_result(walk, inner, "async", None, node)
    for parameter in parameters:
        parameter.bind(walk, context, inner, bound)
    for decorator in decorators:
        uses.read_route(walk, decorator, index)
    if context.scope == 0 and walk.text_of(name) == "main":
        walk.attribute(index, "entry_point", "main", name)
    walk.visit_children(body, inner)


def _bind_result(
    walk: Walk, context: Context, form: str, value: Expr | None, node: tree_sitter.Node
) -> None:
    walk.record.bindings.append(
        Binding(context.scope, "<result>", form, value, node.start_byte, node.end_byte)
    )


class _Parameter:
    """A parameter of a function; `name` is None for `*` and `/`."""

    def __init__(self, node: tree_sitter.Node) -> None:
        self._node = node
        self.name = _parameter_name(node)
        self._type = node.child_by_field_id(syntax.TYPE)
        self._default = node.child_by_field_id(syntax.VALUE)

    def read(self, text_of: TextOf) -> Parameter:
        """Return it as written."""
        assert self.name is not None
        node = self._node
        splat = node.named_children[0] if node.type == "typed_parameter" else node
        return Parameter(
            _STARS.get(splat.type, "") + text_of(self.name),
            folded(text_of(self._type)) if self._type else "",
            folded(text_of(self._default)) if self._default else "",
            self.name.start_byte, self.name.end_byte,
        )  # fmt: skip

    def bind(self, walk: Walk, outer: Context, inner: Context, method: bool) -> None:
        """Record what the body knows of it."""
        node = self._node
        if self.name is None:
            return
        if self._default is not None:
            walk.visit(self._default, outer)
        name = walk.text_of(self.name)
        if method and self._type is None and name == inner.self_name:
            walk.bind(inner, name, "self", None, self.name)
        elif node.type in _STARS or (
            node.type == "typed_parameter" and node.named_children[0].type != "identifier"
        ):
            walk.bind(inner, name, "variadic", None, self.name)
        elif self._type is not None:
            form: Expr = ["t", walk.annotation(self._type)]
            walk.bind(inner, name, "annotation", form, self.name)
        else:
            walk.bind(inner, name, "parameter", walk.expression(self._default), self.name)


def _class(
    walk: Walk,
    node: tree_sitter.Node,
    context: Context,
    decorators: Sequence[tree_sitter.Node] = (),
) -> None:
    name, body = node.child_by_field_id(syntax.NAME), node.child_by_field_id(syntax.BODY)
    if name is None or body is None:
        return
    index = _define(walk, "class", node, name, body, context, decorators)
    bases = node.child_by_field_id(syntax.SUPERCLASSES)
    for base in bases.named_children if bases else ():
        walk.visit(base, context)
        if base.type in {"keyword_argument", "comment"}:
            continue
        named = (base.child_by_field_id(syntax.VALUE) if base.type == "subscript" else None) or base
        walk.refer(
            context, "extends", token_of(named), walk.expression(base),
            name=walk.text_of(named), source=index,
        )  # fmt: skip
    for decorator in decorators:
        uses.read_route(walk, decorator, index)
    inner = context._replace(
        block_end=body.end_byte, scope=index, owner=index, self_name="", condition=""
    )
    walk.visit_children(body, inner)


def _define(
    walk: Walk, kind: str, node: tree_sitter.Node, name: tree_sitter.Node,
    body: tree_sitter.Node, context: Context, decorators: Sequence[tree_sitter.Node], *,
    returns: str = "", parameters: tuple[Parameter, ...] = (),
) -> int:  # fmt: skip
    written = walk.text_of(name)
    signature = walk.text_between(node, body).rstrip().removesuffix(":")
    return walk.define(
        Symbol(
            kind, written, _local(walk, context, written), context.scope,
            node.start_point[0] + 1, node.end_point[0] + 1, node.start_byte, node.end_byte,
            name.start_byte, name.end_byte, folded(signature), _docstring(walk, body),
            _visibility(written, in_class=context.scope == context.owner),
            returns=returns, parameters=parameters,
            decorators=tuple(folded(walk.text_of(d).lstrip("@")) for d in decorators),
        )
    )  # fmt: skip


def _local(walk: Walk, context: Context, name: str) -> str:
    parent = walk.record.symbols[context.scope].local_name
    return f"{parent}.{name}" if parent else name


def _assignment(walk: Walk, node: tree_sitter.Node, context: Context) -> None:
    left, right = node.child_by_field_id(syntax.LEFT), node.child_by_field_id(syntax.RIGHT)
    kind = node.child_by_field_id(syntax.TYPE)
    if left is None:
        return
    value = ["t", form] if (form := walk.annotation(kind)) else None
    annotated = kind is not None
    if not annotated and right is not None and right.type != "assignment":
        value = walk.expression(right)
    statements.bind_target(
        walk, left, "annotation" if annotated else "assign", value, context, node
    )
    _variable(walk, node, left, right, kind, context)
    for child in (left, right):
        if child is not None and child.type != "identifier":
            walk.visit(child, context)


def _variable(
    walk: Walk, node: tree_sitter.Node, left: tree_sitter.Node, right: tree_sitter.Node | None,
    kind: tree_sitter.Node | None, context: Context,
) -> None:  # fmt: skip
    if context.scope not in {0, context.owner} or left.type != "identifier":
        return
    name = walk.text_of(left)
    if (context.scope, name) in walk.variables:
        return
    walk.variables.add((context.scope, name))
    value = walk.text_of(right) if right is not None else ""
    written = folded(walk.text_of(kind)) if kind is not None else ""
    constant = name.strip("_").isupper() or written.startswith(("Final", "typing.Final"))
    walk.define(
        Symbol(
            "constant" if constant else "variable", name, _local(walk, context, name),
            context.scope, node.start_point[0] + 1, node.end_point[0] + 1, node.start_byte,
            node.end_byte, left.start_byte, left.end_byte, "", "",
            _visibility(name, in_class=context.scope == context.owner),
            value=value if len(value.encode()) <= _MAX_VALUE_BYTES else "", returns=written,
        )
    )  # fmt: skip


def _docstring(walk: Walk, body: tree_sitter.Node) -> str:
    """Return the docstring of a module or body, without indentation; '' if none."""
    first = next((child for child in body.named_children if child.type != "comment"), None)
    if first is None or first.type != "expression_statement" or not first.named_children:
        return ""
    literal = first.named_children[0]
    if literal.type != "string" or first.named_child_count != 1:
        return ""
    text = walk.text_of(literal)
    return "" if text[:1] in "bBfF" else cleandoc(string_content(text)).strip()


def _visibility(name: str, *, in_class: bool) -> str:
    """Return what the underscores of a name say."""
    if not name.startswith("_") or (name.startswith("__") and name.endswith("__")):
        return "public"
    return "protected" if in_class and not name.startswith("__") else "private"


def _parameter_name(node: tree_sitter.Node) -> tree_sitter.Node | None:
    kind = node.type
    if kind == "identifier":
        return node
    if kind in {"default_parameter", "typed_default_parameter"}:
        return node.child_by_field_id(syntax.NAME)
    if kind == "typed_parameter" or kind in _STARS:
        return _parameter_name(node.named_children[0]) if node.named_children else None
    return None


HANDLERS: dict[str, Handler] = {
    "function_definition": _function,
    "class_definition": _class,
    "decorated_definition": _decorated,
    "assignment": _assignment,
}
