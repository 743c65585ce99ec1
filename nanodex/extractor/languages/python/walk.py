"""The walk over a Python syntax tree that fills a record: dispatch, and what its handlers add."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tree_sitter

from nanodex.extractor.languages.python import expressions
from nanodex.extractor.languages.python.syntax import folded, text_reader
from nanodex.extractor.records import (
    Attribute,
    Binding,
    Expr,
    FileRecord,
    RaiseSite,
    Reference,
    Symbol,
)

_MAX_NAME_CHARACTERS = 200


class Context(NamedTuple):
    """Where the walk is."""

    block_end: int
    scope: int = 0  # symbol whose names are visible and which gets the references
    owner: int = -1  # innermost class, for `self`
    self_name: str = ""
    condition: str = ""


class Walk:
    """One file; `record` grows while its tree is visited.

    Args:
        root: of the tree.
        source: what the tree was made from, UTF-8.
        handlers: by type of node. A node of another type is walked into, one of None is not.
    """

    def __init__(
        self,
        root: tree_sitter.Node,
        source: bytes,
        *,
        handlers: "Mapping[str, Handler | None]",
    ) -> None:
        self._source = source
        self._handlers = handlers
        self.text_of = text_reader(source)
        self.record = FileRecord("", root.has_error, [], [], [], [], [])
        self.variables: set[tuple[int, str]] = set()
        self._globals: set[tuple[int, str]] = set()

    def visit(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk into a node."""
        handler = self._handlers.get(node.type, Walk.visit_children)
        if handler is not None:
            handler(self, node, context)

    def visit_children(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk into all that a node holds."""
        # As `visit` does, without a frame for each child: a walk is half a million of them.
        handlers = self._handlers
        for child in node.named_children:
            handler = handlers.get(child.type, Walk.visit_children)
            if handler is not None:
                handler(self, child, context)

    def block(self, node: tree_sitter.Node | None, context: Context, condition: str = "") -> None:
        """Walk into a block of statements: what it binds holds to its end."""
        if node is not None:
            _, scope, owner, self_name, outer = context
            inner = Context(node.end_byte, scope, owner, self_name, condition or outer)
            self.visit_children(node, inner)

    def text_between(self, first: tree_sitter.Node, last: tree_sitter.Node) -> str:
        """Return the source from the start of a node to that of a later one."""
        return self._source[first.start_byte : last.start_byte].decode()

    def expression(self, node: tree_sitter.Node | None) -> Expr | None:
        """Return the form of an expression of this file, see `expressions`."""
        return expressions.expression(node, self.text_of)

    def annotation(self, node: tree_sitter.Node | None) -> Expr | None:
        """Return the form of a type expression of this file, see `expressions`."""
        return expressions.annotation(node, self.text_of)

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
                folded(name)[:_MAX_NAME_CHARACTERS], token.start_point[0] + 1, token.start_byte,
                token.end_byte, target,
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

    def define(self, symbol: Symbol) -> int:
        """Add a symbol and return its index."""
        self.record.symbols.append(symbol)
        return len(self.record.symbols) - 1


Handler = Callable[[Walk, tree_sitter.Node, Context], None]
