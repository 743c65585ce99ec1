"""What a C++ or C file says: namespaces, classes, functions, variables, macros."""

import tree_sitter

from nanodex.extractor.languages.cpp import declarators, queries
from nanodex.extractor.languages.cpp.expressions import (
    dotted,
    expression,
    segments,
    token,
    type_term,
)
from nanodex.extractor.languages.cpp.macros import blank
from nanodex.extractor.languages.cpp.statements import StatementSyntax, is_deduced
from nanodex.extractor.records import FileRecord
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.terms import Term, encode
from nanodex.extractor.typed.walker import Context


def read(tree: tree_sitter.Tree, source: bytes, grammar: tree_sitter.Language) -> FileRecord:
    """Turn the syntax tree of a file into its record."""
    blanked = blank(source)
    if blanked != source:
        tree = tree_sitter.Parser(grammar).parse(blanked)
    return _Declarations(source).run(tree.root_node)


class _Declarations(StatementSyntax):
    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        self._template: tree_sitter.Node | None = None
        self._typedef_name: tree_sitter.Node | None = None
        self.handlers = {
            **self.statement_handlers(),
            "namespace_definition": self._namespace,
            "template_declaration": self._template_declaration,
            **dict.fromkeys(queries.CLASSES, self._class),
            "enum_specifier": self._enum,
            "function_definition": self._function_definition,
            "declaration": self._declaration,
            "field_declaration": self._declaration,
            "type_definition": self._typedef,
            "alias_declaration": self._alias,
            "using_declaration": self._using,
            "namespace_alias_definition": self._namespace_alias,
            "preproc_def": self._macro,
            "preproc_function_def": self._macro,
            "friend_declaration": self.skip,
        }

    def _namespace(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        written = self.text(name_node).replace("::", ".").replace(" ", "")
        space = ".".join(part for part in (context.namespace, written) if part)
        if space:
            self.bind(0, forms.NAMESPACES, "namespace", space, 0, len(self.source))
        inner = context._replace(namespace=space)
        if name_node is None:
            inner = inner._replace(visibility="private")
        body = node.child_by_field_name("body")
        self._comment = (-9, -9, "")
        self.walk(body.named_children if body is not None else [], inner)

    def _template_declaration(self, node: tree_sitter.Node, context: Context) -> None:
        self._template = node
        self.walk([c for c in node.named_children if c.type != "template_parameter_list"], context)

    def _class(self, node: tree_sitter.Node, context: Context) -> None:
        body = node.child_by_field_name("body")
        name_node = node.child_by_field_name("name") or self._typedef_name
        self._typedef_name = None
        if body is None or name_node is None:
            if name_node is not None:
                full = ".".join([*self._prefix(context), dotted(name_node)])
                self.bind(0, forms.FORWARD, "forward", full, node.start_byte, node.end_byte)
            self.walk([body], context)
            return
        outer = self._outer(node)
        index = self.add(
            "class", token(name_node), outer, parent=context.owner,
            prefix=".".join([*self._prefix(context), *dotted(name_node).split(".")[:-1]]),
            name=dotted(name_node).rsplit(".", 1)[-1],
            signature=self.folded(outer.start_byte, body.start_byte),
            docstring=self.documentation(outer.start_point[0]), visibility=context.visibility,
        )  # fmt: skip
        inner = Context(owner=index, scope_end=node.end_byte)
        self._generics(outer, index)
        bases = []
        clause = next((c for c in node.named_children if c.type == "base_class_clause"), None)
        for base in clause.named_children if clause is not None else ():
            term = type_term(base)
            if term is not None:
                bases.append(term)
                self.refer("extends", token(base), inner, term, name=term.text.replace(".", "::"))
        self.describe(index, bases=bases)
        self.walk_members(
            body, inner, access="private" if node.type == "class_specifier" else "public"
        )  # fmt: skip

    def _enum(self, node: tree_sitter.Node, context: Context) -> None:
        body = node.child_by_field_name("body")
        name_node = node.child_by_field_name("name") or self._typedef_name
        self._typedef_name = None
        if body is None:
            return
        owner, prefix = context.owner, self._prefix(context)
        if name_node is not None:
            owner = self.add(
                "enum", name_node, node, parent=owner, prefix=".".join(prefix),
                signature=self.folded(node.start_byte, body.start_byte),
                docstring=self.documentation(node.start_point[0]), visibility=context.visibility,
            )  # fmt: skip
            prefix = []
        for item in body.named_children:
            if item.type == "comment":
                self._note_comment(item)
            elif item.type == "enumerator":
                self.add(
                    "constant", item.child_by_field_name("name") or item, item, parent=owner,
                    prefix=".".join(prefix), value=item.child_by_field_name("value"),
                    signature=self.folded(item.start_byte, item.end_byte),
                    docstring=self.documentation(item.start_point[0]),
                    visibility=context.visibility,
                )  # fmt: skip

    def _function_definition(self, node: tree_sitter.Node, context: Context) -> None:
        declarator = node.child_by_field_name("declarator")
        function = declarators.function_of(declarator)
        if function is None:
            function = (
                declarator
                if declarator is not None and declarator.type == "operator_cast"
                else None
            )
        if function is None:
            self.walk(node.named_children, context)
            return
        if self._test_macro(node, function, context):
            return
        index = self._callable(node, function, context)
        if index is None:
            self.walk([node.child_by_field_name("body")], context)
            return
        inner = Context(owner=index, scope_end=node.end_byte)
        parameters = declarators.parameter_nodes(function)
        for parameter in parameters:
            self.declare_one(parameter, inner)
        values = [p.child_by_field_name("default_value") for p in parameters]
        lists = [c for c in node.named_children if c.type == "field_initializer_list"]
        self.walk([*values, *lists, node.child_by_field_name("body")], inner)

    def _test_macro(
        self, node: tree_sitter.Node, function: tree_sitter.Node, context: Context
    ) -> bool:
        """Add `TEST(Suite, Name) { ... }` as a function Suite.Name."""
        macro = self.text(function.child_by_field_name("declarator"))
        names = declarators.parameter_nodes(function)
        if macro not in queries.TEST_MACROS or not names or node.child_by_field_name("type"):
            return False
        index = self.add(
            "function", names[-1], node, parent=context.owner,
            prefix=".".join([*self._prefix(context), *map(self.text, names[:-1])]),
            signature=self.folded(node.start_byte, function.end_byte), visibility="private",
        )  # fmt: skip
        inner = Context(owner=index, scope_end=node.end_byte)
        self.walk([node.child_by_field_name("body")], inner)
        return True

    def _callable(
        self, node: tree_sitter.Node, function: tree_sitter.Node, context: Context
    ) -> int | None:
        """Add the function that `node` declares or defines."""
        name_node = (
            function if function.type == "operator_cast" else declarators.name_of(function)
        )  # fmt: skip
        if name_node is None:
            return None
        outer = self._outer(node)
        written = node.child_by_field_name("type")
        trailing = next(
            (c for c in function.named_children if c.type == "trailing_return_type"), None
        )
        body = node.child_by_field_name("body")
        lists = next((c for c in node.named_children if c.type == "field_initializer_list"), None)
        end = min(n.start_byte for n in (lists, body) if n) if lists or body else node.end_byte
        parts = segments(name_node)
        inside = self.symbols[context.owner].kind == "class"
        name = self._function_name(parts[-1])
        prefix = [*self._prefix(context), *(dotted(part) for part in parts[:-1])]
        declarator = node.child_by_field_name("declarator")
        returned = (
            self.text(trailing).removeprefix("->").strip()
            if trailing
            else (
                self.folded(written.start_byte, (declarator or written).start_byte)
                if written
                else ""
            )
        )
        stars = (declarator.start_byte, function.start_byte) if declarator is not None else (0, 0)
        returns = returned + ("" if trailing else self.folded(*stars))
        member = (
            inside
            or name.startswith("~")
            or (
                len(parts) > 1
                and (
                    written is None
                    or name == parts[-2]
                    or any(c.type == "type_qualifier" for c in function.named_children)
                )
            )
        )
        index = self.add(
            "method" if member else "function", parts[-1], outer, parent=context.owner, name=name,
            prefix=".".join(prefix), signature=self.folded(outer.start_byte, end).removesuffix(";"),
            docstring=self.documentation(outer.start_point[0]), returns=returns,
            visibility="private" if self._static(node) and not inside else context.visibility,
            parameters=[
                declarators.parameter(p, self.source) for p in declarators.parameter_nodes(function)
            ],
        )  # fmt: skip
        self._generics(outer, index)
        self.describe(
            index, returns=type_term(trailing.named_children[-1] if trailing else written)
        )
        if body is None:
            self.bind(index, forms.DECLARED, "declared", None, 0, node.end_byte)
        elif name == "main" and not prefix and not context.namespace:
            self.attribute("entry_point", "main", parts[-1], index)
        return index

    def _function_name(self, node: tree_sitter.Node) -> str:
        if node.type == "operator_cast":
            return self.folded(node.start_byte, node.end_byte).split("(")[0].strip()
        return (
            self.text(token(node))
            if node.type == "template_function"
            else (self.folded(node.start_byte, node.end_byte))
        )

    def _declaration(self, node: tree_sitter.Node, context: Context) -> None:
        written = node.child_by_field_name("type")
        if written is not None and written.child_by_field_name("body") is not None:
            self.walk([written], context)
        if self.symbols[context.owner].kind in ("function", "method"):
            self.local_declaration(node, context)
            return
        for declarator in node.children_by_field_name("declarator"):
            function = declarators.function_of(declarator)
            if function is not None or declarator.type == "operator_cast":
                self._callable(node, function or declarator, context)
                self._template = None
                continue
            name_node = declarators.name_of(declarator)
            if name_node is None or self._words(node) & {"extern", "friend"}:
                continue
            self._variable(node, declarator, name_node, written, context)

    def _variable(
        self, node: tree_sitter.Node, declarator: tree_sitter.Node, name_node: tree_sitter.Node,
        written: tree_sitter.Node | None, context: Context,
    ) -> None:  # fmt: skip
        words = self._words(node)
        value = declarator.child_by_field_name("value") or node.child_by_field_name("default_value")
        inside = self.symbols[context.owner].kind == "class"
        constant = "constexpr" in words or ("const" in words and ("static" in words or not inside))
        parts = segments(name_node)
        if len(parts) > 1:
            return  # `int A::count = 0;` gives room to a member that is declared elsewhere.
        index = self.add(
            "constant" if constant else "variable", name_node, node, parent=context.owner,
            prefix=".".join(self._prefix(context)), value=value,
            signature=self.folded(node.start_byte, node.end_byte).removesuffix(";")[:500],
            docstring=self.documentation(node.start_point[0]),
            visibility="private" if not inside and "static" in words else context.visibility,
        )  # fmt: skip
        type_ = self.declared_type(written, declarator)
        init = expression(value) if is_deduced(written) else Term("none")
        self.declare(forms.SYMBOL, name_node, context, type_=type_, init=init)
        # A value at namespace scope is read by the variable: the file's module has no namespace.
        self.walk([value], context if inside else Context(index, node.end_byte))

    def _typedef(self, node: tree_sitter.Node, context: Context) -> None:
        written = node.child_by_field_name("type")
        declarator = node.child_by_field_name("declarator")
        name_node = declarators.name_of(declarator)
        if written is None or name_node is None:
            return
        if written.child_by_field_name("body") is not None:
            if written.child_by_field_name("name") is None:
                self._typedef_name = name_node
                self.handlers[written.type](written, context)
                return
            self.handlers[written.type](written, context)
        self._add_alias(node, name_node, type_term(written), context)

    def _alias(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is not None:
            self._add_alias(node, name_node, type_term(node.child_by_field_name("type")), context)

    def _add_alias(
        self, node: tree_sitter.Node, name_node: tree_sitter.Node, type_: Term | None,
        context: Context,
    ) -> None:  # fmt: skip
        index = self.add(
            "variable", name_node, node, parent=context.owner,
            prefix=".".join(self._prefix(context)), visibility=context.visibility,
            signature=self.folded(node.start_byte, node.end_byte).removesuffix(";")[:500],
            docstring=self.documentation(node.start_point[0]),
        )  # fmt: skip
        self.describe(index, alias=type_ or Term("none"))

    def _using(self, node: tree_sitter.Node, context: Context) -> None:
        if not node.named_children:
            return
        target = dotted(node.named_children[-1])
        if any(child.type == "namespace" for child in node.children):
            self.bind(context.owner, "*", "using", target, node.start_byte, context.scope_end)
        elif "." in target:
            local = target.rsplit(".", 1)[1]
            self.bind(context.owner, local, "import", target, node.start_byte, context.scope_end)

    def _namespace_alias(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is not None and name_node != node.named_children[-1]:
            target = self.text(node.named_children[-1]).replace("::", ".")
            self.bind(
                context.owner, self.text(name_node), "import", target, node.start_byte,
                context.scope_end,
            )  # fmt: skip

    def _macro(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name_node is None or value is None or context.owner != 0:
            return  # A macro without a value is a guard or a switch.
        self.add(
            "constant" if node.type == "preproc_def" else "function", name_node, node, parent=0,
            docstring=self.documentation(node.start_point[0]),
            signature=self.folded(node.start_byte, value.start_byte)
            if node.type != "preproc_def" else self.folded(node.start_byte, node.end_byte)[:500],
            value=value if node.type == "preproc_def" else None,
        )  # fmt: skip

    def _generics(self, outer: tree_sitter.Node, index: int) -> None:
        listed = outer.child_by_field_name("parameters")
        if outer.type != "template_declaration" or listed is None:
            return
        for parameter in listed.named_children:
            names = [c for c in parameter.named_children if c.type == "type_identifier"]
            if "type_parameter" in parameter.type and names:
                self.bind(
                    index, self.text(names[0]), "generic", encode(None), 0, outer.end_byte
                )  # fmt: skip

    def _outer(self, node: tree_sitter.Node) -> tree_sitter.Node:
        """Return the template declaration around `node`, or the node itself."""
        template, self._template = self._template, None
        if (
            template is not None
            and template.end_byte >= node.end_byte >= template.start_byte
            and (template.start_byte <= node.start_byte)
        ):
            return template
        return node

    def _prefix(self, context: Context) -> list[str]:
        inside = self.symbols[context.owner].kind != "module"
        return [] if inside or not context.namespace else [context.namespace]

    def _words(self, node: tree_sitter.Node) -> set[str]:
        kinds = ("storage_class_specifier", "type_qualifier")
        return {self.text(child) for child in node.children if child.type in kinds}

    def _static(self, node: tree_sitter.Node) -> bool:
        return "static" in self._words(node)
