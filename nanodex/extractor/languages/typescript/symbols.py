"""What a TypeScript or JavaScript file says: declarations, imports and exports, calls."""

import tree_sitter

from nanodex.extractor.languages.typescript import queries
from nanodex.extractor.languages.typescript.expressions import string, type_term
from nanodex.extractor.languages.typescript.modules import ModuleSyntax
from nanodex.extractor.languages.typescript.statements import StatementSyntax
from nanodex.extractor.records import FileRecord, Parameter
from nanodex.extractor.typed import forms
from nanodex.extractor.typed.terms import Term, encode, type_of
from nanodex.extractor.typed.walker import Context


def read(tree: tree_sitter.Tree, source: bytes) -> FileRecord:
    """Turn the syntax tree of a file into its record."""
    return _Declarations(source).run(tree.root_node)


class _Declarations(StatementSyntax, ModuleSyntax):
    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        self.handlers = {
            **self.module_handlers(),
            **self.statement_handlers(),
            **dict.fromkeys(queries.CLASS_KINDS, self._class),
            **dict.fromkeys(queries.FUNCTIONS, self._function),
            **dict.fromkeys(queries.METHODS, self._method),
            **dict.fromkeys(queries.FUNCTION_VALUES, self._anonymous),
            **dict.fromkeys(queries.FIELDS, self._field),
            "type_alias_declaration": self._alias,
            "internal_module": self._namespace,
            "module": self._namespace,
            "lexical_declaration": self._variables,
            "variable_declaration": self._variables,
            "enum_body": self._enum_body,
        }  # fmt: skip

    def _class(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name_node is None:
            if self.pending_name is None:
                self.walk(node.named_children, context)
                return
            name_node = self.pending_name
        self.pending_name = None
        docstring = self.documentation(self.first_row(node))
        index = self.add(
            queries.CLASS_KINDS[node.type], name_node, node, parent=context.owner,
            signature=self.signature(node, body), docstring=docstring,
            visibility=self.visible(context), decorators=self.decorators(node),
        )  # fmt: skip
        inner = Context(owner=index, scope_end=node.end_byte)
        self._generics(node, index)
        bases = [term for clause in node.named_children for term in self._bases(clause, inner)]
        self.describe(index, bases=bases)
        if body is not None:
            self.walk(body.named_children if node.type != "enum_declaration" else [body], inner)

    def _bases(self, clause: tree_sitter.Node, context: Context) -> list[Term]:
        if clause.type == "class_heritage":
            inner = [t for child in clause.named_children for t in self._bases(child, context)]
            # JavaScript has the expression itself in the heritage.
            plain = [c for c in clause.named_children if not c.type.endswith("_clause")]
            return inner + [
                t for child in plain for t in self._base(child, None, "extends", context)
            ]
        if clause.type == "extends_clause":
            value = clause.child_by_field_name("value")
            arguments = clause.child_by_field_name("type_arguments")
            return self._base(value, arguments, "extends", context) if value is not None else []
        if clause.type in ("implements_clause", "extends_type_clause"):
            relationship = "implements" if clause.type == "implements_clause" else "extends"
            return [
                t for child in clause.named_children
                for t in self._base(child, None, relationship, context)
            ]  # fmt: skip
        return []

    def _base(
        self, node: tree_sitter.Node, arguments: tree_sitter.Node | None, relationship: str,
        context: Context,
    ) -> list[Term]:  # fmt: skip
        term = type_term(node)
        if term is None:
            self.refer(relationship, node, context, Term("none"))
            self.walk([node], context)
            return [Term("none")]
        if arguments is not None:
            listed = (type_term(child) or Term("none") for child in arguments.named_children)
            term = type_of(term.text, term.at, *listed)
        token = self.type_token(node)
        self.refer(relationship, token, context, term, name=term.text)
        return [term]

    def _function(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name") or self.pending_name
        if name_node is not None:
            self.pending_name = None
            self._callable("function", name_node, node, node, context)

    def _method(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        if name_node is None or name_node.type == "computed_property_name":
            self._anonymous(node, context)
        elif self.symbols[context.owner].kind not in ("class", "interface"):
            self._anonymous(node, context)  # A method of an object literal has no name of its own.
        else:
            accessor = any(child.type in ("get", "set") for child in node.children)
            self._callable(
                "variable" if accessor else "method", name_node, node, node, context
            )  # fmt: skip

    def _callable(
        self, kind: str, name_node: tree_sitter.Node, node: tree_sitter.Node,
        function: tree_sitter.Node, context: Context,
    ) -> None:  # fmt: skip
        """Add a named function: `node` is the declaration, `function` what has the parameters."""
        body = function.child_by_field_name("body")
        docstring = self.documentation(self.first_row(node))
        returned = function.child_by_field_name("return_type")
        parameters = self._parameter_nodes(function)
        index = self.add(
            kind, name_node, node, parent=context.owner, docstring=docstring,
            signature=self.signature(node, body), visibility=self.visible(context, node, name_node),
            returns=self.text(returned).removeprefix(":").strip(),
            decorators=self.decorators(node), parameters=map(self._parameter, parameters),
        )  # fmt: skip
        returns = type_term(returned)
        if kind == "variable":
            if not any(child.type == "set" for child in node.children):
                self.declare(forms.SYMBOL, name_node, context, type_=returns, init=None)
        else:
            self.describe(index, returns=returns)
        self._generics(function, index)
        inner = Context(owner=index, scope_end=node.end_byte)
        if self.text(name_node) == "constructor" and kind == "method":
            self._parameter_properties(parameters, context)
        self._enter(parameters, body, inner)

    def _parameter_properties(self, parameters: list[tree_sitter.Node], context: Context) -> None:
        """Add the fields that `constructor(private readonly store: Store)` declares."""
        for parameter in parameters:
            words = [
                c for c in parameter.children if c.type in ("accessibility_modifier", "readonly")
            ]
            pattern = parameter.child_by_field_name("pattern")
            if not words or pattern is None or pattern.type != "identifier":
                continue
            self.add(
                "variable", pattern, parameter, parent=context.owner,
                signature=self.folded(parameter.start_byte, parameter.end_byte),
                visibility=self.visible(context, parameter, pattern),
            )  # fmt: skip
            type_ = type_term(parameter.child_by_field_name("type"))
            self.declare(forms.SYMBOL, pattern, context, type_=type_, init=None)

    def _anonymous(self, node: tree_sitter.Node, context: Context) -> None:
        """Walk a function without a name: what it does belongs to the named scope around it."""
        self._comment = (-9, -9, "")
        inner = Context(owner=context.owner, scope_end=node.end_byte)
        self._enter(self._parameter_nodes(node), node.child_by_field_name("body"), inner)

    def _enter(
        self, parameters: list[tree_sitter.Node], body: tree_sitter.Node | None, context: Context
    ) -> None:
        for parameter in parameters:
            pattern = parameter.child_by_field_name("pattern") or parameter
            annotation = parameter.child_by_field_name("type")
            value = parameter.child_by_field_name("value")
            if pattern.type == "rest_pattern" and pattern.named_children:
                pattern = pattern.named_children[0]
            init = self.initial(annotation, value, constant=False)
            self.bind_pattern(pattern, context, type_=type_term(annotation), init=init)
        self.walk([*(p.child_by_field_name("value") for p in parameters), body], context)

    def _field(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name") or node.child_by_field_name("property")
        value = node.child_by_field_name("value")
        if name_node is None or name_node.type == "computed_property_name":
            self.walk([value], context)
            return
        if self.symbols[context.owner].kind not in ("class", "interface"):
            return  # A property of an object type, not of a class.
        if value is not None and value.type in queries.FUNCTION_VALUES:
            self._callable("method", name_node, node, value, context)
            return
        words = {child.type for child in node.children}
        type_node = node.child_by_field_name("type")
        self.add(
            "constant" if {"static", "readonly"} <= words else "variable", name_node, node,
            parent=context.owner, docstring=self.documentation(self.first_row(node)),
            signature=self.signature(node, None), value=value,
            visibility=self.visible(context, node, name_node), decorators=self.decorators(node),
        )  # fmt: skip
        self.declare(
            forms.SYMBOL,
            name_node,
            context,
            type_=type_term(type_node),
            init=self.initial(type_node, value, constant="readonly" in words),
        )
        self.walk([value], context)

    def _variables(self, node: tree_sitter.Node, context: Context) -> None:
        constant = any(child.type == "const" for child in node.children)
        for declarator in node.named_children:
            if declarator.type != "variable_declarator":
                continue
            name_node = declarator.child_by_field_name("name")
            value = declarator.child_by_field_name("value")
            if name_node is None or self.required(name_node, value, context):
                continue
            self._variable(declarator, node, name_node, value, constant, context)

    def _variable(
        self, declarator: tree_sitter.Node, node: tree_sitter.Node, name_node: tree_sitter.Node,
        value: tree_sitter.Node | None, constant: bool, context: Context,
    ) -> None:  # fmt: skip
        if name_node.type == "identifier" and value is not None:
            if value.type in queries.FUNCTION_VALUES:
                self._callable("function", name_node, node, value, context)
                return
            if value.type == "class":
                self.pending_name = name_node
                self._class(value, context)
                return
        annotation = declarator.child_by_field_name("type")
        type_, init = type_term(annotation), self.initial(annotation, value, constant=constant)
        top = self.symbols[context.owner].kind == "module" and context.scope_end >= (
            self.symbols[context.owner].end_byte
        )
        if top and name_node.type == "identifier":
            self.add(
                "constant" if constant else "variable", name_node, node, parent=context.owner,
                docstring=self.documentation(self.first_row(node)), value=value,
                signature=self.folded(node.start_byte, declarator.end_byte)[:500],
                visibility=self.visible(context),
            )  # fmt: skip
            self.declare(forms.SYMBOL, name_node, context, type_=type_, init=init)
        else:
            self.bind_pattern(name_node, context, type_=type_, init=init)
        self.walk([value], context)

    def _enum_body(self, node: tree_sitter.Node, context: Context) -> None:
        for item in node.named_children:
            if item.type == "comment":
                self._note_comment(item)
                continue
            name_node = item.child_by_field_name("name") or item
            if name_node.type not in ("property_identifier", "string"):
                continue
            self.add(
                "constant", name_node, item, parent=context.owner,
                name=string(name_node) or self.text(name_node),
                docstring=self.documentation(item.start_point[0]),
                signature=self.folded(item.start_byte, item.end_byte),
                value=item.child_by_field_name("value"),
            )  # fmt: skip
            own = type_of(self.symbols[context.owner].name, item.start_byte)
            self.declare(forms.SYMBOL, name_node, context, type_=own, init=None)

    def _alias(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name_node is None:
            return
        shape = value is not None and value.type == "object_type"
        index = self.add(
            "interface" if shape else "variable", name_node, node, parent=context.owner,
            docstring=self.documentation(self.first_row(node)),
            signature=self.folded(node.start_byte, value.start_byte if value else node.end_byte),
            visibility=self.visible(context), value=None if shape else value,
        )  # fmt: skip
        self._generics(node, index)
        if shape and value is not None:
            self.walk(value.named_children, Context(owner=index, scope_end=node.end_byte))
        else:
            self.describe(index, alias=type_term(value) or Term("none"))

    def _namespace(self, node: tree_sitter.Node, context: Context) -> None:
        name_node = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name_node is None or name_node.type == "string":
            return  # `declare module "x"` speaks of a module from outside.
        index = self.add(
            "module", name_node, node, parent=context.owner, visibility=self.visible(context),
            docstring=self.documentation(self.first_row(node)),
            signature=self.signature(node, body),
        )  # fmt: skip
        if body is not None:
            self.walk(body.named_children, Context(owner=index, scope_end=node.end_byte))

    def _generics(self, node: tree_sitter.Node, index: int) -> None:
        listed = node.child_by_field_name("type_parameters")
        for parameter in listed.named_children if listed is not None else ():
            name_node = parameter.child_by_field_name("name")
            constraint = parameter.child_by_field_name("constraint")
            limit = type_term(constraint.named_children[-1]) if constraint is not None else None
            if name_node is not None:
                self.bind(
                    index, self.text(name_node), "generic", encode(limit), 0, node.end_byte
                )  # fmt: skip

    def _parameter_nodes(self, node: tree_sitter.Node) -> list[tree_sitter.Node]:
        single = node.child_by_field_name("parameter")
        if single is not None:
            return [single]
        listed = node.child_by_field_name("parameters")
        found = listed.named_children if listed is not None else []
        return [child for child in found if child.type != "comment"]

    def _parameter(self, node: tree_sitter.Node) -> Parameter:
        pattern = node.child_by_field_name("pattern") or node.child_by_field_name("left") or node
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        optional = "undefined" if node.type == "optional_parameter" else ""
        return Parameter(
            name=self.folded(pattern.start_byte, pattern.end_byte),
            annotation=self.text(node.child_by_field_name("type")).removeprefix(":").strip(),
            default_value=self.text(value) or optional,
            start_byte=pattern.start_byte,
            end_byte=pattern.end_byte,
        )
