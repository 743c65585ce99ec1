"""What the parts of the TypeScript walk share: names, visibility, patterns, decorators."""

import tree_sitter

from nanodex.extractor.languages.typescript.expressions import expression, string
from nanodex.extractor.records import FileRecord
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.terms import NONE, Term, changing, member, value_of
from nanodex.extractor.typed.walker import Context, Walker


class Syntax(Walker):
    """The state and the readings that declarations, statements and module syntax share."""

    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        # The token that names the next class or function expression: `default`, or a variable.
        self.pending_name: tree_sitter.Node | None = None
        self._published: set[str] = set()

    def run(self, root: tree_sitter.Node) -> FileRecord:
        """Walk, then make public what `export { name }` published."""
        record = super().run(root)
        script = not any(b.form in ("import", "export") for b in self.bindings) and not any(
            symbol.parent == 0 and symbol.visibility == "public" for symbol in self.symbols
        )
        for index, symbol in enumerate(self.symbols):
            if symbol.parent == 0 and (script or symbol.name in self._published):
                self.symbols[index] = symbol._replace(visibility="public")
        return record

    def publish(self, name: str) -> None:
        """Note that the module exports the declaration called `name`."""
        self._published.add(name)

    def forget_comment(self) -> None:
        """Drop a comment that belongs to no declaration."""
        self._comment = (-9, -9, "")

    def visible(
        self, context: Context, node: tree_sitter.Node | None = None,
        name_node: tree_sitter.Node | None = None,
    ) -> str:  # fmt: skip
        """Return the visibility of a declaration."""
        if self.symbols[context.owner].kind in ("class", "interface", "enum"):
            if name_node is not None and name_node.type == "private_property_identifier":
                return "private"
            for child in node.children if node is not None else ():
                if child.type == "accessibility_modifier":
                    return self.text(child)
            return "public"
        return "public" if context.exported else "private"

    def first_row(self, node: tree_sitter.Node) -> int:
        """Return the row at which a declaration begins, with `export` and its decorators."""
        parent = node.parent
        if parent is not None and parent.type in ("export_statement", "ambient_declaration"):
            node = parent
        row = node.start_point[0]
        sibling = node.prev_named_sibling
        while sibling is not None and sibling.type == "decorator":
            row = sibling.start_point[0]
            sibling = sibling.prev_named_sibling
        return row

    def decorators(self, node: tree_sitter.Node) -> tuple[str, ...]:
        """Return the decorators of a declaration, as written."""
        found = [child for child in node.children if child.type == "decorator"]
        parent = node.parent
        if parent is not None and parent.type == "export_statement":
            found = [c for c in parent.children if c.type == "decorator"] + found
        sibling = node.prev_named_sibling
        while sibling is not None and sibling.type == "decorator":
            found.insert(0, sibling)
            sibling = sibling.prev_named_sibling
        return tuple(self.folded(child.start_byte, child.end_byte) for child in found)

    def signature(self, node: tree_sitter.Node, body: tree_sitter.Node | None) -> str:
        """Return a declaration without its decorators and its body."""
        own = [child for child in node.children if child.type not in ("decorator", "comment")]
        start = own[0].start_byte if own else node.start_byte
        end = body.start_byte if body is not None else node.end_byte
        return self.folded(start, end).removesuffix(";")[:1000]

    def type_token(self, node: tree_sitter.Node) -> tree_sitter.Node:
        """Return the token that names a type: `C` in `b.C<T>`."""
        while node.named_children:
            if node.type == "generic_type":
                node = node.child_by_field_name("name") or node.named_children[0]
            elif node.type in ("nested_type_identifier", "member_expression", "nested_identifier"):
                node = node.named_children[-1]
            else:
                break
        return node

    def bind_pattern(
        self, pattern: tree_sitter.Node, context: Context, *, type_: Term | None, init: Term
    ) -> None:
        """Declare the local names of a pattern: `x`, `{ a, b: c }`, `[d, ...e]`, `f = 1`."""
        if pattern.type in ("identifier", "shorthand_property_identifier_pattern"):
            self.declare("local", pattern, context, type_=type_, init=init)
            return
        whole = value_of(type_) if type_ is not None else init
        for item in pattern.named_children:
            if item.type == "pair_pattern":
                key, value = item.child_by_field_name("key"), item.child_by_field_name("value")
                if value is not None:
                    inner = member(whole, self.text(key) if key is not None else "")
                    self.bind_pattern(value, context, type_=None, init=inner)
            elif item.type in ("object_assignment_pattern", "assignment_pattern"):
                left = item.child_by_field_name("left")
                if left is not None:
                    inner = member(whole, self.text(left)) if left.type != "identifier" else NONE
                    self.bind_pattern(left, context, type_=None, init=inner)
            elif item.type == "shorthand_property_identifier_pattern":
                self.bind_pattern(
                    item, context, type_=None, init=member(whole, self.text(item))
                )  # fmt: skip
            elif item.type in ("identifier", "object_pattern", "array_pattern", "rest_pattern"):
                self.bind_pattern(item, context, type_=None, init=NONE)

    def initial(
        self, annotation: tree_sitter.Node | None, value: tree_sitter.Node | None, *, constant: bool
    ) -> Term:
        """Return what is known of a variable from its first value; an annotation says it all."""
        if annotation is not None:
            return NONE
        return expression(value) if constant else changing(expression(value))

    def assigned_field(
        self, left: tree_sitter.Node, right: tree_sitter.Node | None, context: Context
    ) -> None:
        """Add the field that `this.name = value` makes in a constructor that declares none."""
        name_node = left.child_by_field_name("property")
        base = left.child_by_field_name("object")
        owner = self.symbols[context.owner]
        if name_node is None or base is None or base.type != "this" or owner.name != "constructor":
            return
        name = self.text(name_node)
        if any(s.parent == owner.parent and s.name == name for s in self.symbols):
            return
        self.add(
            "variable", name_node, left.parent or left, parent=owner.parent, value=right,
            signature=self.folded(left.start_byte, left.end_byte),
            visibility="private" if name_node.type == "private_property_identifier" else "public",
        )  # fmt: skip
        # The value is read where it stands: in the constructor, that knows its parameters.
        init = Term("within", "", name_node.start_byte, (expression(right),))
        self.declare(
            forms.SYMBOL, name_node, context, type_=None, init=init, scope=owner.parent
        )  # fmt: skip

    def string_argument(self, arguments: tree_sitter.Node | None) -> str:
        """Return the first argument of a call where it is a string."""
        if arguments is None or not arguments.named_children:
            return ""
        return string(arguments.named_children[0])
