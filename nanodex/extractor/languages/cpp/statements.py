"""What C++ code does: includes, calls, constructions, raising, and local names."""

from collections.abc import Mapping

import tree_sitter

from nanodex.extractor.languages.cpp import declarators, expressions, queries
from nanodex.extractor.languages.cpp.expressions import (
    dotted,
    expression,
    first_string,
    template_arguments,
    token,
    type_term,
)
from nanodex.extractor.typed.terms import NONE, Term, type_of
from nanodex.extractor.typed.walker import Context, Handler, Walker


class StatementSyntax(Walker):
    """Reads statements and expressions."""

    # By custom a plain comment above a declaration documents it.
    plain_comments = True

    def statement_handlers(self) -> Mapping[str, Handler]:
        """Return the handlers of statements and expressions."""
        return {
            "preproc_include": self._include,
            **dict.fromkeys(queries.SCOPES, self.block),
            "for_range_loop": self._for_range,
            "catch_clause": self._catch,
            "if_statement": self.branches,
            "lambda_expression": self._lambda,
            "call_expression": self._call,
            "new_expression": self._new,
            "throw_statement": self._throw,
            "field_initializer": self._initializer,
            "attribute_declaration": self.skip,
            "template_argument_list": self.skip,
        }

    def skip(self, node: tree_sitter.Node, context: Context) -> None:
        """Leave a node out."""

    def walk_members(self, body: tree_sitter.Node, context: Context, *, access: str) -> None:
        """Walk the members of a class, each with the access that holds for it."""
        pairs = []
        for child in body.named_children:
            if child.type == "access_specifier":
                access = self.text(child).split()[0].rstrip(":")
            else:
                pairs.append((child, context._replace(visibility=access)))
        self._stack.extend(reversed(pairs))

    def declare_one(self, node: tree_sitter.Node, context: Context) -> None:
        """Declare the local that a parameter or a simple declaration brings in."""
        declarator = node.child_by_field_name("declarator")
        name_node = declarators.name_of(declarator)
        if name_node is not None:
            written = type_term(node.child_by_field_name("type"))
            self.declare("local", name_node, context, type_=written, init=NONE)

    def declared_type(
        self, written: tree_sitter.Node | None, declarator: tree_sitter.Node
    ) -> Term | None:
        """Return the type that a declarator gives its name; pointers read as what they point at."""
        term = type_term(written)
        if term is not None and declarators.is_array(declarator):
            return type_of("[]", declarator.start_byte, term)
        return term

    def local_declaration(self, node: tree_sitter.Node, context: Context) -> None:
        """Declare locals: `T x`, `T x(1)`, `auto x = f()`; a class value is constructed."""
        written = node.child_by_field_name("type")
        type_ = type_term(written)
        for declarator in node.children_by_field_name("declarator"):
            name_node = declarators.name_of(declarator)
            if name_node is None:
                continue
            value = declarator.child_by_field_name("value")
            function = declarators.function_of(declarator)
            shape = self.declared_type(written, declarator)
            init = expression(value) if is_deduced(written) else NONE
            self.declare("local", name_node, context, type_=shape, init=init)
            braced = value is not None and value.type in ("argument_list", "initializer_list")
            direct = declarator.type == "init_declarator" and (
                declarator.child_by_field_name("declarator") == name_node
            )
            # `T x(a);` with a name for a reads as a function to the grammar.
            if (
                type_ is not None
                and written is not None
                and ((braced and direct) or (function is not None and function == declarator))
            ):
                written_name = type_.text.replace(".", "::")
                self.refer("instantiates", token(written), context, type_, name=written_name)
            self.walk([value], context)

    def _include(self, node: tree_sitter.Node, context: Context) -> None:
        self._comment = (-9, -9, "")
        path = node.child_by_field_name("path")
        if path is None or path.type not in ("string_literal", "system_lib_string"):
            return
        written = self.text(path)[1:-1]
        kind = "system" if path.type == "system_lib_string" else "local"
        self.bind(0, "#include", "include", [written, kind], node.start_byte, node.end_byte)
        target = Term("import", written, 0, (Term(kind),))
        self.refer("imports", path, context._replace(owner=0), target, name=written)

    def _for_range(self, node: tree_sitter.Node, context: Context) -> None:
        inner = context._replace(scope_end=node.end_byte)
        right = node.child_by_field_name("right")
        name_node = declarators.name_of(node.child_by_field_name("declarator"))
        if name_node is not None:
            values = expression(right)
            written = node.child_by_field_name("type")
            known = values.op != "none" and is_deduced(written)
            item = Term("item", "", 0, (values,)) if known else NONE
            self.declare("local", name_node, inner, type_=type_term(written), init=item)
        self.walk([right, node.child_by_field_name("body")], inner)

    def _catch(self, node: tree_sitter.Node, context: Context) -> None:
        inner = context._replace(scope_end=node.end_byte)
        for parameter in declarators.parameter_nodes(node):
            self.declare_one(parameter, inner)
        self.walk([node.child_by_field_name("body")], inner)

    def _lambda(self, node: tree_sitter.Node, context: Context) -> None:
        inner = context._replace(scope_end=node.end_byte, condition="")
        for parameter in declarators.parameter_nodes(node.child_by_field_name("declarator")):
            self.declare_one(parameter, inner)
        self.walk([node.child_by_field_name("body")], inner)

    def _call(self, node: tree_sitter.Node, context: Context) -> None:
        function = node.child_by_field_name("function")
        given = node.child_by_field_name("arguments")
        if function is None:
            return
        written = self.folded(function.start_byte, function.end_byte)[:200]
        named = dotted(function).rsplit(".", 1)[-1] if function.type != "field_expression" else ""
        if named not in queries.CASTS and function.type != "primitive_type":
            target = Term(
                "call", "", 0, (expression(function), *expressions.arguments(node))
            )  # fmt: skip
            self.refer("calls", token(function), context, target, name=written)
        if named in queries.MAKERS:
            made = template_arguments(function)
            if made and made[0].op == "type":
                name = made[0].text.replace(".", "::")
                self.refer("instantiates", token(function), context, made[0], name=name)
        if written in queries.ENVIRONMENT and given is not None and first_string(given):
            self.attribute("reads_env", first_string(given), node, self.innermost(node))
        base = function.child_by_field_name("argument")
        self.walk([base, given], context)

    def _new(self, node: tree_sitter.Node, context: Context) -> None:
        written = node.child_by_field_name("type")
        term = type_term(written)
        if written is not None and term is not None:
            name = term.text.replace(".", "::")
            self.refer("instantiates", token(written), context, term, name=name)
        self.walk([node.child_by_field_name("arguments")], context)

    def _initializer(self, node: tree_sitter.Node, context: Context) -> None:
        self.walk(node.named_children[1:], context)

    def _throw(self, node: tree_sitter.Node, context: Context) -> None:
        thrown = node.named_children[0] if node.named_children else None
        if thrown is None:
            return  # `throw;` passes on what was caught.
        made = thrown.child_by_field_name("function") or thrown.child_by_field_name("type")
        if made is None:
            self.refer("raises", token(thrown), context, expression(thrown))
            self.walk([thrown], context)
            return
        term = type_term(made) or NONE
        written = self.folded(made.start_byte, made.end_byte)
        self.refer("raises", token(made), context, term, name=written)
        given = thrown.child_by_field_name("arguments") or thrown.child_by_field_name("value")
        self.raise_site(node, context, exception=written, message=first_string(given))
        self.walk([given], context)


def is_deduced(written: tree_sitter.Node | None) -> bool:
    """Whether a type is `auto`: only then does the value say what it is."""
    return written is not None and written.type == "placeholder_type_specifier"
