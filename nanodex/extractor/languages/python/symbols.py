"""The walk over a Python syntax tree that fills a record."""

from dataclasses import dataclass, replace
from functools import partial
from inspect import cleandoc

import tree_sitter

from nanodex.extractor.languages.python import statements
from nanodex.extractor.languages.python.expressions import (
    annotation,
    expression,
    folded,
    string_content,
    text_of,
)
from nanodex.extractor.languages.python.queries import SILENT
from nanodex.extractor.records import (
    Attribute,
    Binding,
    Expr,
    FileRecord,
    Parameter,
    RaiseSite,
    Reference,
    Symbol,
)

_MAX_VALUE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Context:
    """Where the walk is."""

    scope: int = 0  # symbol whose names are visible and which gets the references
    owner: int = -1  # innermost class, for `self`
    self_name: str = ""
    block_end: int = 0
    condition: str = ""


class Walk:
    """One file; `record` is whole when `visit` has seen the root."""

    def __init__(self, root: tree_sitter.Node) -> None:
        module = Symbol(
            "module", "", "", -1, 1, root.end_point[0] + 1, 0, root.end_byte, 0, 0,
            signature="", docstring=docstring(root), visibility="public",
        )  # fmt: skip
        self.record = FileRecord("", root.has_error, [module], [], [], [], [])
        self._variables: set[tuple[int, str]] = set()
        self._globals: set[tuple[int, str]] = set()
        self._handlers = {
            "function_definition": self._function,
            "class_definition": self._class,
            "decorated_definition": self._decorated,
            "assignment": self._assignment,
            "call": self._call,
            **{kind: self._with(handler) for kind, handler in statements.HANDLERS.items()},
        }
        self._children(root, Context(block_end=root.end_byte))

    def _with(self, handler: statements.Handler) -> statements.BoundHandler:
        return partial(handler, self)

    def visit(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk into a node."""
        handler = self._handlers.get(node.type)
        if handler is None:
            # Not by _children: one frame for each level, and half of all nodes need none.
            for child in node.named_children:
                if child.type not in SILENT:
                    self.visit(child, context)
        else:
            handler(node, context)

    def _children(self, node: tree_sitter.Node, context: Context) -> None:
        for child in node.named_children:
            if child.type not in SILENT:
                self.visit(child, context)

    def block(self, node: tree_sitter.Node | None, context: Context, condition: str = "") -> None:
        """Walk into a block of statements: what it binds holds to its end."""
        if node is not None:
            self._children(
                node,
                replace(context, block_end=node.end_byte, condition=condition or context.condition),
            )

    def bind(
        self, context: Context, name: str, form: str, value: Expr | None, node: tree_sitter.Node,
        end: int | None = None,
    ) -> None:  # fmt: skip
        """Record that a name stands for a value from `node` to the end of the block."""
        scope = 0 if (context.scope, name) in self._globals else context.scope
        self.record.bindings.append(
            Binding(scope, name, form, value, node.start_byte, end or context.block_end)
        )

    def declare_global(self, context: Context, name: str) -> None:
        """Let a name of this scope mean the module's."""
        self._globals.add((context.scope, name))

    def refer(
        self, context: Context, relationship: str, token: tree_sitter.Node, target: Expr | None,
        *, name: str, source: int | None = None,
    ) -> None:  # fmt: skip
        """Record a reference whose target is named by `token`."""
        self.record.references.append(
            Reference(
                relationship, context.scope if source is None else source, context.scope,
                folded(name)[:200], token.start_point[0] + 1, token.start_byte, token.end_byte,
                target,
            )
        )  # fmt: skip

    def raise_site(
        self, context: Context, node: tree_sitter.Node, exception: str, message: str
    ) -> None:
        """Record a raise statement."""
        self.record.raise_sites.append(
            RaiseSite(
                context.scope, folded(exception), message, context.condition,
                node.start_point[0] + 1, node.start_byte, node.end_byte,
            )
        )  # fmt: skip

    def attribute(self, source: int, key: str, value: str, node: tree_sitter.Node) -> None:
        """Record something further that the source states of a symbol."""
        self.record.attributes.append(
            Attribute(source, key, value, node.start_point[0] + 1, node.start_byte, node.end_byte)
        )

    def _decorated(self, node: tree_sitter.Node, context: Context) -> None:
        decorators = [child for child in node.named_children if child.type == "decorator"]
        for decorator in decorators:
            self._children(decorator, context)
        definition = node.child_by_field_name("definition")
        if definition is None:
            return
        if definition.type == "class_definition":
            self._class(definition, context, decorators)
        else:
            self._function(definition, context, decorators)

    def _function(
        self,
        node: tree_sitter.Node,
        context: Context,
        decorators: list[tree_sitter.Node] = [],  # noqa: B006
    ) -> None:
        name, parameters = node.child_by_field_name("name"), node.child_by_field_name("parameters")
        body = node.child_by_field_name("body")
        if name is None or body is None:
            return
        method = context.scope == context.owner
        returns = node.child_by_field_name("return_type")
        index = self._define(
            "method" if method else "function", node, name, body, context, decorators,
            returns=folded(text_of(returns)) if returns else "",
            parameters=_parameters(parameters),
        )  # fmt: skip
        texts = self.record.symbols[index].decorators
        static = "staticmethod" in texts
        inner = Context(
            scope=index, owner=context.owner, block_end=body.end_byte,
            self_name=_first_parameter(parameters) if method and not static else context.self_name,
        )  # fmt: skip
        if returns is not None:
            self._bind_result(inner, "returns", annotation(returns), node)
        if any(child.type == "async" for child in node.children):
            self._bind_result(inner, "async", None, node)
        for parameter in parameters.named_children if parameters else ():
            self._parameter(parameter, context, inner, method and not static)
        for decorator in decorators:
            statements.read_route(self, decorator, index)
        if name.text == b"main" and context.scope == 0:
            self.attribute(index, "entry_point", "main", name)
        self._children(body, inner)

    def _bind_result(
        self, context: Context, form: str, value: Expr | None, node: tree_sitter.Node
    ) -> None:
        self.record.bindings.append(
            Binding(context.scope, "<result>", form, value, node.start_byte, node.end_byte)
        )

    def _parameter(
        self, node: tree_sitter.Node, outer: Context, inner: Context, method: bool
    ) -> None:
        name = _parameter_name(node)
        if name is None:
            return
        kind, default = node.child_by_field_name("type"), node.child_by_field_name("value")
        if default is not None:
            self.visit(default, outer)
        if method and kind is None and text_of(name) == inner.self_name:
            self.bind(inner, inner.self_name, "self", None, name)
        elif node.type in {"list_splat_pattern", "dictionary_splat_pattern"} or (
            node.type == "typed_parameter" and node.named_children[0].type != "identifier"
        ):
            self.bind(inner, text_of(name), "variadic", None, name)
        elif kind is not None:
            self.bind(inner, text_of(name), "annotation", ["t", annotation(kind)], name)
        else:
            self.bind(inner, text_of(name), "parameter", expression(default), name)

    def _class(
        self,
        node: tree_sitter.Node,
        context: Context,
        decorators: list[tree_sitter.Node] = [],  # noqa: B006
    ) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is None or body is None:
            return
        index = self._define("class", node, name, body, context, decorators)
        bases = node.child_by_field_name("superclasses")
        for base in bases.named_children if bases else ():
            if base.type in {"keyword_argument", "comment"}:
                self.visit(base, context)
                continue
            self.visit(base, context)
            named = base.child_by_field_name("value") if base.type == "subscript" else base
            token = statements.token_of(named or base)
            self.refer(
                context, "extends", token, expression(base), name=text_of(named or base),
                source=index,
            )  # fmt: skip
        for decorator in decorators:
            statements.read_route(self, decorator, index)
        self._children(body, Context(scope=index, owner=index, block_end=body.end_byte))

    def _define(
        self, kind: str, node: tree_sitter.Node, name: tree_sitter.Node, body: tree_sitter.Node,
        context: Context, decorators: list[tree_sitter.Node], *, returns: str = "",
        parameters: tuple[Parameter, ...] = (),
    ) -> int:  # fmt: skip
        signature = text_of(node)[: _characters(node, body)].rstrip().removesuffix(":")
        return self.define(
            Symbol(
                kind, text_of(name), self._local(context, text_of(name)), context.scope,
                node.start_point[0] + 1, node.end_point[0] + 1, node.start_byte, node.end_byte,
                name.start_byte, name.end_byte, folded(signature), docstring(body),
                visibility(text_of(name), in_class=context.scope == context.owner),
                returns=returns, parameters=parameters,
                decorators=tuple(folded(text_of(d).lstrip("@")) for d in decorators),
            )
        )  # fmt: skip

    def define(self, symbol: Symbol) -> int:
        """Add a symbol and return its index."""
        self.record.symbols.append(symbol)
        return len(self.record.symbols) - 1

    def _local(self, context: Context, name: str) -> str:
        parent = self.record.symbols[context.scope].local_name
        return f"{parent}.{name}" if parent else name

    def _assignment(self, node: tree_sitter.Node, context: Context) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        kind = node.child_by_field_name("type")
        if left is None:
            return
        value = ["t", form] if (form := annotation(kind)) else None
        annotated = kind is not None
        if not annotated and right is not None and right.type != "assignment":
            value = expression(right)
        statements.bind_target(
            self, left, "annotation" if annotated else "assign", value, context, node
        )
        self._variable(node, left, right, kind, context)
        for child in (left, right):
            if child is not None and child.type != "identifier":
                self.visit(child, context)

    def _variable(
        self, node: tree_sitter.Node, left: tree_sitter.Node, right: tree_sitter.Node | None,
        kind: tree_sitter.Node | None, context: Context,
    ) -> None:  # fmt: skip
        if left.type != "identifier" or context.scope not in {0, context.owner}:
            return
        name = text_of(left)
        if (context.scope, name) in self._variables:
            return
        self._variables.add((context.scope, name))
        value = text_of(right) if right is not None else ""
        written = folded(text_of(kind)) if kind is not None else ""
        constant = name.strip("_").isupper() or written.startswith(("Final", "typing.Final"))
        self.define(
            Symbol(
                "constant" if constant else "variable", name, self._local(context, name),
                context.scope, node.start_point[0] + 1, node.end_point[0] + 1, node.start_byte,
                node.end_byte, left.start_byte, left.end_byte, "", "",
                visibility(name, in_class=context.scope == context.owner),
                value=value if len(value.encode()) <= _MAX_VALUE_BYTES else "", returns=written,
            )
        )  # fmt: skip

    def _call(self, node: tree_sitter.Node, context: Context) -> None:
        function = node.child_by_field_name("function")
        if function is not None:
            self.refer(
                context, "calls", statements.token_of(function), expression(function),
                name=text_of(function),
            )  # fmt: skip
            statements.read_environment_call(self, node, function, context)
        self._children(node, context)


def _characters(node: tree_sitter.Node, body: tree_sitter.Node) -> int:
    head = (node.text or b"")[: body.start_byte - node.start_byte]
    return len(head.decode(errors="ignore"))


def docstring(body: tree_sitter.Node) -> str:
    """Return the docstring of a module or body, without indentation; '' if none."""
    first = next((child for child in body.named_children if child.type != "comment"), None)
    if first is None or first.type != "expression_statement" or not first.named_children:
        return ""
    literal = first.named_children[0]
    if literal.type != "string" or first.named_child_count != 1:
        return ""
    text = text_of(literal)
    return "" if text[:1] in "bBfF" else cleandoc(string_content(text)).strip()


def visibility(name: str, *, in_class: bool) -> str:
    """Return what the underscores of a name say."""
    if not name.startswith("_") or (name.startswith("__") and name.endswith("__")):
        return "public"
    return "protected" if in_class and not name.startswith("__") else "private"


def _parameter_name(node: tree_sitter.Node) -> tree_sitter.Node | None:
    if node.type == "identifier":
        return node
    if node.type in {"default_parameter", "typed_default_parameter"}:
        return node.child_by_field_name("name")
    if node.type in {"typed_parameter", "list_splat_pattern", "dictionary_splat_pattern"}:
        return _parameter_name(node.named_children[0]) if node.named_children else None
    return None


def _first_parameter(parameters: tree_sitter.Node | None) -> str:
    first = parameters.named_children[0] if parameters and parameters.named_children else None
    name = _parameter_name(first) if first is not None else None
    return text_of(name) if name is not None else ""


def _parameters(node: tree_sitter.Node | None) -> tuple[Parameter, ...]:
    found = []
    for child in node.named_children if node is not None else ():
        name = _parameter_name(child)
        if name is None:
            continue
        kind, default = child.child_by_field_name("type"), child.child_by_field_name("value")
        stars = {"list_splat_pattern": "*", "dictionary_splat_pattern": "**"}
        splat = child.named_children[0] if child.type == "typed_parameter" else child
        found.append(
            Parameter(
                stars.get(splat.type, "") + text_of(name),
                folded(text_of(kind)) if kind else "",
                folded(text_of(default)) if default else "",
                name.start_byte, name.end_byte,
            )
        )  # fmt: skip
    return tuple(found)
