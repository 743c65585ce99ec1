"""What code does: calls, constructions, raising, and the names that statements bring in."""

import re
from collections.abc import Mapping

import tree_sitter

from nanodex.extractor.languages.typescript import expressions, queries
from nanodex.extractor.languages.typescript.expressions import expression, string
from nanodex.extractor.languages.typescript.syntax import Syntax
from nanodex.extractor.typed.terms import NONE, Term
from nanodex.extractor.typed.walker import Context, Handler

_ENVIRONMENTS = ("process.env", "import.meta.env", "Bun.env")
_UNNAMEABLE = re.compile(r"[.\s]+")


class StatementSyntax(Syntax):
    """Reads statements and expressions."""

    def statement_handlers(self) -> Mapping[str, Handler]:
        """Return the handlers of statements and expressions."""
        return {
            "statement_block": self.block,
            "for_statement": self.block,
            "for_in_statement": self._for_in,
            "catch_clause": self._catch,
            "if_statement": self.branches,
            "call_expression": self._call,
            "new_expression": self._new,
            "throw_statement": self._throw,
            "member_expression": self._member,
            "subscript_expression": self._member,
            "jsx_opening_element": self._element,
            "jsx_self_closing_element": self._element,
            "jsx_closing_element": self._skip,
            "hash_bang_line": self._script,
            "type_annotation": self._skip,
            "type_arguments": self._skip,
            "decorator": self._skip,
        }

    def _skip(self, node: tree_sitter.Node, context: Context) -> None:
        """Leave a node out: types are read where they are declared."""

    def _script(self, node: tree_sitter.Node, context: Context) -> None:
        self.attribute("entry_point", "main", node, 0)

    def _for_in(self, node: tree_sitter.Node, context: Context) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        inner = context._replace(scope_end=node.end_byte)
        values = expression(right)
        of = any(child.type == "of" for child in node.children)
        if left is not None and any(c.type in ("const", "let", "var") for c in node.children):
            item = Term("item", "", 0, (values,)) if of and values.op != "none" else NONE
            self.bind_pattern(left, inner, type_=None, init=item)
        self.walk([right, node.child_by_field_name("body")], inner)

    def _catch(self, node: tree_sitter.Node, context: Context) -> None:
        inner = context._replace(scope_end=node.end_byte)
        parameter = node.child_by_field_name("parameter")
        if parameter is not None:
            self.bind_pattern(parameter, inner, type_=None, init=NONE)
        self.walk([node.child_by_field_name("body")], inner)

    def _call(self, node: tree_sitter.Node, context: Context) -> None:
        function = node.child_by_field_name("function")
        given = node.child_by_field_name("arguments")
        if function is None:
            return
        if function.type == "import" or self.text(function) == "require":
            module = self.string_argument(given)
            if module and given is not None:
                target = Term("import", module, 0, (Term("name", "*"),))
                self.refer("imports", given.named_children[0], context, target, name=module)
            self.walk([given], context)
            return
        if self._test(node, function, given, context):
            return
        token = expressions.callee_token(function)
        target = expressions.call(node)
        if function.type == "super":
            target = Term("call", "", 0, (Term("constructor"), *target.parts[1:]))
        elif function.type in queries.FUNCTION_VALUES:
            target = NONE  # Called where it is written: what it does is walked below.
        written = self.folded(function.start_byte, function.end_byte)[:200]
        if function.type not in ("parenthesized_expression", *queries.FUNCTION_VALUES):
            self.refer("calls", token, context, target, name=written)
        self._route(node, function, given, context)
        self.walk([function, given], context)

    def _test(
        self, node: tree_sitter.Node, function: tree_sitter.Node,
        given: tree_sitter.Node | None, context: Context,
    ) -> bool:  # fmt: skip
        """Add `it("does this", () => ...)` as a function of that name."""
        head = self.text(function).split(".")[0].split("(")[0]
        title = self.string_argument(given)
        if head not in queries.TEST_CALLS or not title or given is None:
            return False
        body = given.named_children[-1]
        if body.type not in queries.FUNCTION_VALUES:
            return False
        self.forget_comment()
        index = self.add(
            "function", given.named_children[0], node, parent=context.owner,
            name=_UNNAMEABLE.sub(" ", title).strip() or head, visibility="private",
            signature=self.folded(node.start_byte, given.named_children[0].end_byte),
        )  # fmt: skip
        self.walk([body], Context(owner=index, scope_end=node.end_byte))
        return True

    def _route(
        self, node: tree_sitter.Node, function: tree_sitter.Node,
        given: tree_sitter.Node | None, context: Context,
    ) -> None:  # fmt: skip
        if function.type != "member_expression" or given is None or not given.named_children:
            return
        verb = self.text(function.child_by_field_name("property"))
        base = function.child_by_field_name("object")
        if verb not in queries.ROUTE_METHODS or base is None:
            return
        path = self.string_argument(given)
        handler = given.named_children[-1]
        inline = handler.type in queries.FUNCTION_VALUES
        named = handler.type in ("identifier", "member_expression")
        if base.type == "call_expression":  # router.route("/path").get(handler)
            chained = base.child_by_field_name("function")
            if self.text(chained).endswith(".route"):
                path = self.string_argument(base.child_by_field_name("arguments"))
        elif len(given.named_children) < 2 or not (
            inline or (named and re.search(r"(?i)(app|router|server)$", self.text(base)))
        ):
            return
        if path.startswith("/"):
            shown = "ANY" if verb == "all" else verb.upper()
            self.attribute("route", f"{shown} {path}", node, context.owner)

    def _new(self, node: tree_sitter.Node, context: Context) -> None:
        constructor = node.child_by_field_name("constructor")
        if constructor is not None:
            token = expressions.callee_token(constructor)
            written = self.folded(constructor.start_byte, constructor.end_byte)[:200]
            self.refer("instantiates", token, context, expression(constructor), name=written)
        self.walk([constructor, node.child_by_field_name("arguments")], context)

    def _throw(self, node: tree_sitter.Node, context: Context) -> None:
        thrown = node.named_children[-1] if node.named_children else None
        if thrown is None:
            return
        if thrown.type != "new_expression":
            token = expressions.callee_token(thrown)
            target = expression(thrown)
            self.refer("raises", token, context, target if target.op != "call" else NONE)
            self.walk([thrown], context)
            return
        constructor = thrown.child_by_field_name("constructor")
        given = thrown.child_by_field_name("arguments")
        if constructor is not None:
            written = self.folded(constructor.start_byte, constructor.end_byte)
            token = expressions.callee_token(constructor)
            self.refer("raises", token, context, expression(constructor), name=written)
            self.raise_site(node, context, exception=written, message=_first_string(given))
        self.walk([given], context)

    def _member(self, node: tree_sitter.Node, context: Context) -> None:
        base = node.child_by_field_name("object")
        if base is not None and self.text(base) in _ENVIRONMENTS:
            name = self.text(node.child_by_field_name("property")) or string(
                node.child_by_field_name("index")
            )
            if name:
                self.attribute("reads_env", name, node, self.innermost(node))
            return
        self.walk([base, node.child_by_field_name("index")], context)

    def _element(self, node: tree_sitter.Node, context: Context) -> None:
        """Read `<Badge />` as a call of Badge; lower-case names are the document's own."""
        name_node = node.child_by_field_name("name")
        if name_node is not None and (
            name_node.type == "member_expression" or self.text(name_node)[:1].isupper()
        ):
            token = expressions.callee_token(name_node)
            target = Term("call", "", 0, (expression(name_node), NONE))
            self.refer("calls", token, context, target, name=self.text(name_node))
        self.walk(node.children_by_field_name("attribute"), context)


def _first_string(node: tree_sitter.Node | None) -> str:
    stack = [node] if node is not None else []
    while stack:
        current = stack.pop()
        if current.type in ("string", "template_string"):
            return string(current)
        stack.extend(reversed(current.named_children))
    return ""
