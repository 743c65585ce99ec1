"""What a Java file says: its declarations, the types they name, and what they call."""

import tree_sitter

from nanodex.extractor.languages.java import attributes, expressions, queries
from nanodex.extractor.languages.java.expressions import expression, type_term
from nanodex.extractor.records import FileRecord, Parameter
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.terms import Term, encode, type_of
from nanodex.extractor.typed.walker import Context, Walker


def read(tree: tree_sitter.Tree, source: bytes) -> FileRecord:
    """Turn the syntax tree of a Java file into its record."""
    return _JavaWalker(source).run(tree.root_node)


class _JavaWalker(Walker):
    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        # Bodies of anonymous classes: what is said in them belongs to the method around them.
        self._anonymous: list[attributes.AnonymousBody] = []
        self.handlers = {
            "package_declaration": self._package,
            "import_declaration": self._import,
            **dict.fromkeys(queries.CLASS_KINDS, self._class),
            **dict.fromkeys(queries.METHODS, self._method),
            **dict.fromkeys(queries.SCOPES, self.block),
            "field_declaration": self._field,
            "constant_declaration": self._field,
            "enum_constant": self._enum_constant,
            "local_variable_declaration": self._local,
            "resource": self._single,
            "enhanced_for_statement": self._for_each,
            "catch_formal_parameter": self._single,
            "formal_parameter": self._single,
            "instanceof_expression": self._instanceof,
            "lambda_expression": self._lambda,
            "if_statement": self.branches,
            "method_invocation": self._call,
            "object_creation_expression": self._creation,
            "explicit_constructor_invocation": self._constructor_call,
            "throw_statement": self._throw,
            "annotation": self._skip,
            "marker_annotation": self._skip,
        }

    def _skip(self, node: tree_sitter.Node, context: Context) -> None:
        """Leave a node out: annotations are kept as text."""

    def _package(self, node: tree_sitter.Node, context: Context) -> None:
        self.namespace = "".join(self.text(node.named_children[-1]).split())

    def _import(self, node: tree_sitter.Node, context: Context) -> None:
        path = next(c for c in node.named_children if c.type in ("scoped_identifier", "identifier"))
        written = "".join(self.text(path).split())
        static = any(child.type == "static" for child in node.children)
        star = node.named_children[-1].type == "asterisk"
        token = path.child_by_field_name("name") or path
        local = "*" if star else self.text(token)
        self.bind(0, local, "import", [written, static], 0, len(self.source))
        kind = "star" if star else "static" if static else "class"
        target = Term("import", written, 0, (Term(kind),))
        self.refer("imports", token, context, target, name=written + (".*" if star else ""))

    def _class(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is None:
            return
        body = node.child_by_field_name("body")
        docstring = self.documentation(node.start_point[0])
        modifiers = attributes.modifiers(node)
        index = self.add(
            queries.CLASS_KINDS[node.type], name_node, node, parent=context.owner,
            signature=self._signature(node, body), docstring=docstring,
            visibility=attributes.visibility(modifiers, implicit=self._implicit(context)),
            decorators=attributes.annotations(modifiers),
        )  # fmt: skip
        inner = Context(owner=index, scope_end=node.end_byte)
        self._generics(node, index)
        bases: list[Term] = []
        for field, relationship in (
            ("superclass", "extends"), ("interfaces", "implements"), ("", "extends"),
        ):  # fmt: skip
            clause = (
                node.child_by_field_name(field)
                if field
                else next((c for c in node.named_children if c.type == "extends_interfaces"), None)
            )
            for base in attributes.base_types(clause):
                term = type_term(base)
                if term is not None:
                    bases.append(term)
                    token = attributes.type_name(base)
                    self.refer(relationship, token, inner, term, name=term.text)
        implicit = {"enum_declaration": "java.lang.Enum", "record_declaration": "java.lang.Record"}
        if node.type in implicit:
            bases.insert(0, type_of(implicit[node.type], -1))
        self.describe(index, bases=bases)
        if node.type == "record_declaration":
            self._components(node, inner)
        if body is not None:
            self.walk(body.named_children, inner)

    def _components(self, node: tree_sitter.Node, context: Context) -> None:
        for parameter in self._parameter_nodes(node):
            name_node = parameter.child_by_field_name("name")
            if name_node is None:
                continue
            written = parameter.child_by_field_name("type")
            returns = type_term(written)
            # A component is a private field and a public method of the same name.
            index = self.add(
                "method", name_node, parameter, parent=context.owner, returns=self.text(written),
                signature=self.folded(parameter.start_byte, parameter.end_byte),
            )  # fmt: skip
            self.describe(index, returns=returns)
            self.declare("local", name_node, context, type_=returns, init=None)

    def _method(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is None:
            return
        body = node.child_by_field_name("body")
        enclosing = next((a for a in reversed(self._anonymous) if a.holds(node)), None)
        if enclosing is not None and enclosing.owner == context.owner:
            inner = Context(owner=context.owner, scope_end=node.end_byte)
            self.walk([*self._parameter_nodes(node), body], inner)
            return
        docstring = self.documentation(node.start_point[0])
        modifiers = attributes.modifiers(node)
        annotations = attributes.annotations(modifiers)
        written = node.child_by_field_name("type")
        index = self.add(
            "method", name_node, node, parent=context.owner,
            signature=self._signature(node, body), docstring=docstring,
            visibility=attributes.visibility(modifiers, implicit=self._implicit(context)),
            returns=self.text(written), decorators=annotations,
            parameters=map(self._parameter, self._parameter_nodes(node)),
        )  # fmt: skip
        inner = Context(owner=index, scope_end=node.end_byte)
        self._generics(node, index)
        self.describe(index, returns=type_term(written))
        for clause in (child for child in node.named_children if child.type == "throws"):
            for thrown in clause.named_children:
                term = type_term(thrown)
                if term is not None:
                    token = attributes.type_name(thrown)
                    self.refer("raises", token, inner, term, name=term.text)
        routes = attributes.routes(annotations, self.symbols[context.owner].decorators)
        for route in routes:
            self.attribute("route", route, modifiers or name_node, index)
        words = self.text(modifiers)
        if self.text(name_node) == "main" and "static" in words and "public" in words:
            self.attribute("entry_point", "main", name_node, index)
        self.walk([*self._parameter_nodes(node), body], inner)

    def _field(self, node: tree_sitter.Node, context: Context) -> None:
        modifiers = attributes.modifiers(node)
        words = self.text(modifiers).split()
        anonymous = any(a.holds(node) and a.owner == context.owner for a in self._anonymous)
        constant = node.type == "constant_declaration" or {"static", "final"} <= {*words}
        written = node.child_by_field_name("type")
        docstring = "" if anonymous else self.documentation(node.start_point[0])
        for declarator in node.children_by_field_name("declarator"):
            name_node = declarator.child_by_field_name("name")
            if name_node is None:
                continue
            value = declarator.child_by_field_name("value")
            type_, init = self._declared(written, declarator), expression(value)
            if anonymous:
                self.declare("local", name_node, context, type_=type_, init=init)
                self.walk([value], context)
                continue
            self.add(
                "constant" if constant else "variable", name_node, node, parent=context.owner,
                signature=self._signature(node, None), docstring=docstring, value=value,
                visibility=attributes.visibility(modifiers, implicit=self._implicit(context)),
                decorators=attributes.annotations(modifiers),
            )  # fmt: skip
            self.declare(forms.SYMBOL, name_node, context, type_=type_, init=init)
            self.walk([value], context)

    def _enum_constant(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is None:
            return
        docstring = self.documentation(node.start_point[0])
        owner = context.owner
        index = self.add(
            "constant", name_node, node, parent=owner, docstring=docstring,
            signature=self.folded(node.start_byte, node.end_byte)[:200],
        )  # fmt: skip
        own_type = type_of(self.symbols[owner].name, node.start_byte)
        self.declare(forms.SYMBOL, name_node, context, type_=own_type, init=None)
        inner = Context(owner=index, scope_end=node.end_byte)
        body = node.child_by_field_name("body")
        if body is not None:
            self._anonymous.append(attributes.AnonymousBody.of(body, own_type, index))
        self.walk([node.child_by_field_name("arguments"), body], inner)

    def _local(self, node: tree_sitter.Node, context: Context) -> None:
        written = node.child_by_field_name("type")
        for declarator in node.children_by_field_name("declarator"):
            name_node = declarator.child_by_field_name("name")
            if name_node is not None:
                init = expression(declarator.child_by_field_name("value"))
                type_ = self._declared(written, declarator)
                self.declare("local", name_node, context, type_=type_, init=init)
        self.walk(node.named_children, context)

    def _single(self, node: tree_sitter.Node, context: Context) -> None:
        """Declare the one name of a parameter, a resource or a caught exception."""
        name_node = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name_node is not None:
            written = node.child_by_field_name("type")
            if node.type == "catch_formal_parameter":
                caught = next((c for c in node.named_children if c.type == "catch_type"), None)
                written = (
                    caught.named_children[0] if caught and len(caught.named_children) == 1 else None
                )
            type_ = self._declared(written, node)
            self.declare("local", name_node, context, type_=type_, init=expression(value))
        self.walk([value], context)

    def _for_each(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        values = node.child_by_field_name("value")
        inner = context._replace(scope_end=node.end_byte)
        if name_node is not None:
            init = Term("item", "", 0, (expression(values),))
            type_ = self._declared(node.child_by_field_name("type"), node)
            self.declare("local", name_node, inner, type_=type_, init=init)
        self.walk([values, node.child_by_field_name("body")], inner)

    def _instanceof(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is not None:
            type_ = type_term(node.child_by_field_name("right"))
            self.declare("local", name_node, context, type_=type_, init=None)
        self.walk([node.child_by_field_name("left")], context)

    def _lambda(self, node: tree_sitter.Node, context: Context) -> None:
        inner = Context(owner=context.owner, scope_end=node.end_byte)
        parameters = node.child_by_field_name("parameters")
        if parameters is not None and parameters.type in ("identifier", "inferred_parameters"):
            names = [parameters] if parameters.type == "identifier" else parameters.named_children
            for name_node in names:
                self.declare("local", name_node, inner, type_=None, init=None)
            parameters = None
        self.walk([parameters, node.child_by_field_name("body")], inner)

    def _call(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is None:
            return
        base = node.child_by_field_name("object")
        written = self.text(name_node)
        if base is not None:
            written = f"{self.folded(base.start_byte, base.end_byte)}.{written}"[:200]
        target = self._seen_from(node, expressions.call(node))
        self.refer("calls", name_node, context, target, name=written)
        variable = attributes.environment(node)
        if variable:
            self.attribute("reads_env", variable, node, self.innermost(node))
        self.walk([base, node.child_by_field_name("arguments")], context)

    def _creation(self, node: tree_sitter.Node, context: Context) -> None:
        written = node.child_by_field_name("type")
        term = type_term(written)
        if written is not None and term is not None:
            token = attributes.type_name(written)
            self.refer("instantiates", token, context, term, name=term.text)
        body = next((c for c in node.named_children if c.type == "class_body"), None)
        if body is not None:
            self._anonymous.append(attributes.AnonymousBody.of(body, term, context.owner))
        arguments = node.child_by_field_name("arguments")
        self.walk([arguments], context)
        self.walk([body], context._replace(condition=""))

    def _constructor_call(self, node: tree_sitter.Node, context: Context) -> None:
        keyword = node.child_by_field_name("constructor")
        if keyword is not None:
            callee = Term("constructor", self.text(keyword))
            target = Term("call", "", 0, (callee, *expressions.arguments(node)))
            self.refer("calls", keyword, context, target)
        self.walk([node.child_by_field_name("arguments")], context)

    def _throw(self, node: tree_sitter.Node, context: Context) -> None:
        thrown = node.named_children[-1] if node.named_children else None
        if thrown is not None and thrown.type == "object_creation_expression":
            written = thrown.child_by_field_name("type")
            term = type_term(written)
            if written is not None and term is not None:
                token = attributes.type_name(written)
                self.refer("raises", token, context, term, name=term.text)
                message = attributes.first_string(thrown.child_by_field_name("arguments"))
                self.raise_site(node, context, exception=term.text, message=message)
            self.walk([thrown.child_by_field_name("arguments")], context)
            return
        if thrown is not None:
            self.refer("raises", thrown, context, self._seen_from(node, expression(thrown)))
        self.walk([thrown], context)

    def _seen_from(self, node: tree_sitter.Node, term: Term) -> Term:
        for body in reversed(self._anonymous):
            if body.holds(node):
                return body.rewrite(term)
        return term

    def _generics(self, node: tree_sitter.Node, index: int) -> None:
        parameters = node.child_by_field_name("type_parameters")
        for parameter in parameters.named_children if parameters else ():
            names = [
                c for c in parameter.named_children if c.type in ("type_identifier", "identifier")
            ]
            bound = next((c for c in parameter.named_children if c.type == "type_bound"), None)
            limit = type_term(bound.named_children[0]) if bound and bound.named_children else None
            if names:
                value = None if limit is None else encode(limit)
                self.bind(index, self.text(names[0]), "generic", value, 0, node.end_byte)

    def _declared(self, written: tree_sitter.Node | None, node: tree_sitter.Node) -> Term | None:
        term = type_term(written)
        if term is not None and node.child_by_field_name("dimensions") is not None:
            return type_of("[]", node.start_byte, term)
        return term

    def _parameter_nodes(self, node: tree_sitter.Node) -> list[tree_sitter.Node]:
        listed = node.child_by_field_name("parameters")
        kinds = ("formal_parameter", "spread_parameter")
        return [c for c in listed.named_children if c.type in kinds] if listed else []

    def _parameter(self, node: tree_sitter.Node) -> Parameter:
        if node.type == "spread_parameter":
            declarator = node.named_children[-1]
            name_node = declarator.child_by_field_name("name") or declarator
            written = next(c for c in node.named_children if c.type not in ("modifiers",))
            annotation = f"{self.text(written)}..."
        else:
            name_node = node.child_by_field_name("name") or node
            annotation = self.text(node.child_by_field_name("type"))
        return Parameter(
            self.text(name_node), annotation, "", name_node.start_byte, name_node.end_byte
        )

    def _implicit(self, context: Context) -> str:
        return "public" if self.symbols[context.owner].kind == "interface" else "package"

    def _signature(self, node: tree_sitter.Node, body: tree_sitter.Node | None) -> str:
        start = attributes.after_annotations(node)
        end = body.start_byte if body is not None else node.end_byte
        return self.folded(start, end).removesuffix(";")
