"""Walks a syntax tree and fills a file record; what each node means is the language's table.

The walk keeps its own stack: nesting costs memory, which the worker bounds, and no Python frames.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import tree_sitter

from nanodex.extractor.records import (
    Attribute,
    Binding,
    FileRecord,
    Parameter,
    RaiseSite,
    Reference,
    Symbol,
)
from nanodex.extractor.typed import comments, forms
from nanodex.extractor.typed.terms import Term, encode

_SPACE = re.compile(r"\s+")
_LONGEST_VALUE = 2000


class Context(NamedTuple):
    """Where the walk is."""

    owner: int  # symbol that encloses the node
    scope_end: int  # end of the block in which names of here are known
    condition: str = ""  # source text of the nearest enclosing if
    exported: bool = False
    visibility: str = "public"
    namespace: str = ""


Handler = Callable[[tree_sitter.Node, Context], None]


class Walker:
    """One file's walk. A language gives `handlers` by node type; others are walked through."""

    comment_types: frozenset[str] = frozenset({"comment", "line_comment", "block_comment"})
    # Whether an unmarked comment directly above a declaration documents it.
    plain_comments = False

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.namespace = ""
        self.symbols: list[Symbol] = []
        self.bindings: list[Binding] = []
        self.references: list[Reference] = []
        self.raise_sites: list[RaiseSite] = []
        self.attributes: list[Attribute] = []
        self.handlers: Mapping[str, Handler] = {}
        self._stack: list[tuple[tree_sitter.Node, Context]] = []
        self._comment: tuple[int, int, str] = (-9, -9, "")

    def run(self, root: tree_sitter.Node) -> FileRecord:
        """Walk from `root` and return the record."""
        self.symbols.append(
            Symbol(
                kind="module", name="", local_name="", parent=-1, start_line=1,
                end_line=self.source.count(b"\n") + (not self.source.endswith(b"\n")) or 1,
                start_byte=0, end_byte=len(self.source), name_start=0, name_end=0,
                signature="", docstring="", visibility="public",
            )
        )  # fmt: skip
        self.walk(root.named_children, Context(owner=0, scope_end=len(self.source)))
        stack, handlers, comment_types = self._stack, self.handlers, self.comment_types
        while stack:
            node, context = stack.pop()
            kind = node.type
            if kind in comment_types:
                self._note_comment(node)
                continue
            handler = handlers.get(kind)
            if handler is not None:
                handler(node, context)
            else:
                self.walk(node.named_children, context)
        return FileRecord(
            namespace=self.namespace,
            has_errors=root.has_error,
            symbols=self.symbols,
            bindings=self.bindings,
            references=self.references,
            raise_sites=self.raise_sites,
            attributes=self.attributes,
        )

    def walk(self, nodes: Iterable[tree_sitter.Node | None], context: Context) -> None:
        """Put `nodes` on the stack, to be visited next, in their order."""
        self._stack.extend((node, context) for node in reversed([*nodes]) if node is not None)

    def text(self, node: tree_sitter.Node | None) -> str:
        """Return the source text of a node; bytes that are no UTF-8 are replaced."""
        if node is None:
            return ""
        return self.source[node.start_byte : node.end_byte].decode(errors="replace")

    def folded(self, start: int, end: int) -> str:
        """Return the source between two bytes with its white space folded."""
        return _SPACE.sub(" ", self.source[start:end].decode(errors="replace")).strip()

    def documentation(self, row: int) -> str:
        """Return the comment that ends directly above `row`, and forget it."""
        _, end, text = self._comment
        self._comment = (-9, -9, "")
        return comments.clean(text) if end in (row - 1, row) else ""

    def add(
        self,
        kind: str,
        name_node: tree_sitter.Node,
        node: tree_sitter.Node,
        *,
        parent: int,
        name: str = "",
        signature: str = "",
        docstring: str = "",
        visibility: str = "public",
        value: tree_sitter.Node | None = None,
        returns: str = "",
        decorators: Iterable[str] = (),
        parameters: Iterable[Parameter] = (),
        prefix: str = "",
    ) -> int:
        """Add a symbol that `node` defines and return its index."""
        name = name or self.text(name_node)
        enclosing = self.symbols[parent].local_name
        local_name = ".".join(part for part in (enclosing, prefix, name) if part)
        self.symbols.append(
            Symbol(
                kind=kind,
                name=name,
                local_name=local_name,
                parent=parent,
                start_line=node.start_point[0] + 1,
                # A preprocessor line ends where the next one begins.
                end_line=node.end_point[0] + (node.end_point[1] > 0),
                start_byte=node.start_byte,
                end_byte=node.end_byte,
                name_start=name_node.start_byte,
                name_end=name_node.end_byte,
                signature=signature,
                docstring=docstring,
                visibility=visibility,
                value=self.text(value)[:_LONGEST_VALUE],
                returns=returns,
                decorators=tuple(decorators),
                parameters=tuple(parameters),
            )
        )
        return len(self.symbols) - 1

    def bind(self, scope: int, name: str, form: str, value: Any, start: int, end: int) -> None:
        """Add a binding of `name` that holds from byte `start` to byte `end`."""
        self.bindings.append(Binding(scope, name, form, value, start, end))

    def declare(
        self, form: str, name_node: tree_sitter.Node, context: Context,
        *, type_: Term | None, init: Term | None, name: str = "", scope: int | None = None,
    ) -> None:  # fmt: skip
        """Add the declared type and initial value of a variable."""
        self.bind(
            context.owner if scope is None else scope, name or self.text(name_node), form,
            [encode(type_), encode(init)], name_node.start_byte, context.scope_end,
        )  # fmt: skip

    def describe(
        self, index: int, *, bases: Iterable[Term] = (), returns: Term | None = None,
        alias: Term | None = None,
    ) -> None:  # fmt: skip
        """Add what is known of the type of symbol `index`."""
        terms = [encode(base) for base in bases]
        end = self.symbols[index].end_byte
        if terms:
            self.bind(index, forms.BASES, "bases", terms, 0, end)
        if returns is not None:
            self.bind(index, forms.RETURNS, "returns", encode(returns), 0, end)
        if alias is not None:
            self.bind(index, forms.ALIAS, "alias", encode(alias), 0, end)

    def refer(
        self, relationship: str, node: tree_sitter.Node, context: Context, target: Term,
        *, name: str = "", source: int | None = None,
    ) -> None:  # fmt: skip
        """Add a reference whose name token is `node`."""
        self.references.append(
            Reference(
                relationship=relationship,
                source=context.owner if source is None else source,
                scope=context.owner if source is None else source,
                name=name or self.folded(node.start_byte, node.end_byte),
                line=node.start_point[0] + 1,
                start_byte=node.start_byte,
                end_byte=node.end_byte,
                target=encode(target) if target.op != "none" else None,
            )
        )

    def raise_site(
        self, node: tree_sitter.Node, context: Context, *, exception: str, message: str
    ) -> None:
        """Add a statement that raises `exception`."""
        self.raise_sites.append(
            RaiseSite(
                source=context.owner, exception=exception, message=message,
                condition=context.condition, line=node.start_point[0] + 1,
                start_byte=node.start_byte, end_byte=node.end_byte,
            )
        )  # fmt: skip

    def attribute(self, key: str, value: str, node: tree_sitter.Node, source: int) -> None:
        """Add a further statement about symbol `source`."""
        self.attributes.append(
            Attribute(source, key, value, node.start_point[0] + 1, node.start_byte, node.end_byte)
        )

    def innermost(self, node: tree_sitter.Node) -> int:
        """Return the latest symbol whose span holds `node`: the field that a value is given to."""
        return max(
            index
            for index, symbol in enumerate(self.symbols)
            if symbol.start_byte <= node.start_byte and node.end_byte <= symbol.end_byte
        )

    def branches(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk an if statement: its consequence holds under its condition, the rest does not."""
        condition = node.child_by_field_name("condition")
        text = self.folded(condition.start_byte, condition.end_byte) if condition else ""
        if text.startswith("(") and text.endswith(")"):
            text = text[1:-1].strip()
        consequence = node.child_by_field_name("consequence")
        inside = context._replace(condition=text)
        self._stack.extend(
            (child, inside if consequence is not None and child == consequence
             else context._replace(condition="") if child.start_byte > (
                 consequence.end_byte if consequence else 0) else context)
            for child in reversed(node.named_children)
        )  # fmt: skip

    def block(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk a node that opens a scope of its own."""
        self.walk(node.named_children, context._replace(scope_end=node.end_byte))

    def _note_comment(self, node: tree_sitter.Node) -> None:
        line_start = self.source.rfind(b"\n", 0, node.start_byte) + 1
        if self.source[line_start : node.start_byte].strip():
            return  # It follows code on its line, and speaks of that.
        text = self.text(node).rstrip("\n")
        start, end = node.start_point[0], node.start_point[0] + text.count("\n")
        if not self.plain_comments and not comments.is_documentation(text):
            self._comment = (-9, -9, "")
        elif (
            text.startswith("//")
            and self._comment[1] == start - 1
            and self._comment[2].startswith("//")
        ):
            self._comment = (self._comment[0], end, f"{self._comment[2]}\n{text}")
        else:
            self._comment = (start, end, text)
