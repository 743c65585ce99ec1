"""Imports and exports: ES modules, and CommonJS where its meaning is plain.

Bindings in the module's scope:

    import   local name -> [module, name]; name is `*` for the module itself, `=` for what
             `require` gives
    export   exported name -> ["local", name], ["from", module, name] or ["value", expression];
             under `*`: ["from", module, "*"]
"""

from collections.abc import Mapping

import tree_sitter

from nanodex.extractor.languages.typescript.expressions import expression, string
from nanodex.extractor.languages.typescript.syntax import Syntax
from nanodex.extractor.typed.terms import Term, encode
from nanodex.extractor.typed.walker import Context, Handler


class ModuleSyntax(Syntax):
    """Reads import and export statements, `require`, `module.exports`."""

    def module_handlers(self) -> Mapping[str, Handler]:
        """Return the handlers of module syntax."""
        return {
            "import_statement": self._import,
            "export_statement": self._export,
            "assignment_expression": self._assignment,
        }

    def required(
        self, name_node: tree_sitter.Node, value: tree_sitter.Node | None, context: Context
    ) -> bool:
        """Read `const x = require("y")`; False where it is no such declaration."""
        term = expression(value)
        attribute = ""
        if term.op == "member" and term.parts[0].op == "module":
            attribute, term = term.text, term.parts[0]
        if term.op != "module":
            return False
        if name_node.type == "identifier":
            self._imported(name_node, term.text, attribute or "=", name_node, context)
            return True
        if name_node.type != "object_pattern" or attribute:
            return False
        for item in name_node.named_children:
            if item.type == "shorthand_property_identifier_pattern":
                self._imported(item, term.text, self.text(item), item, context)
            elif item.type == "pair_pattern":
                key, local = item.child_by_field_name("key"), item.child_by_field_name("value")
                if key is not None and local is not None and local.type == "identifier":
                    self._imported(local, term.text, self.text(key), key, context)
        return True

    def _imported(
        self, local: tree_sitter.Node, module: str, name: str, token: tree_sitter.Node,
        context: Context,
    ) -> None:  # fmt: skip
        self.bind(
            context.owner, self.text(local), "import", [module, name], 0, context.scope_end
        )  # fmt: skip
        self._refer(token, module, name, context)

    def _refer(self, token: tree_sitter.Node, module: str, name: str, context: Context) -> None:
        target = Term("import", module, 0, (Term("name", name),))
        written = module if name in ("*", "=") else f"{module}.{name}"
        self.refer("imports", token, context, target, name=written)

    def _import(self, node: tree_sitter.Node, context: Context) -> None:
        self.forget_comment()
        source = node.child_by_field_name("source")
        for clause in node.named_children:
            if clause.type == "import_require_clause":
                module = string(clause.child_by_field_name("source"))
                local = clause.named_children[0]
                self._imported(local, module, "=", local, context)
            elif clause.type == "import_clause":
                for child in clause.named_children:
                    self._clause(child, string(source), context)
        if source is not None and not any(c.type == "import_clause" for c in node.named_children):
            self._refer(source, string(source), "*", context)

    def _clause(self, child: tree_sitter.Node, module: str, context: Context) -> None:
        if child.type == "identifier":
            self._imported(child, module, "default", child, context)
        elif child.type == "namespace_import":
            local = child.named_children[0]
            self._imported(local, module, "*", local, context)
        elif child.type == "named_imports":
            for item in child.named_children:
                token = item.child_by_field_name("name")
                if token is not None:
                    local = item.child_by_field_name("alias") or token
                    name = string(token) or self.text(token)
                    self._imported(local, module, name, token, context)

    def _export(self, node: tree_sitter.Node, context: Context) -> None:
        source = node.child_by_field_name("source")
        declaration = node.child_by_field_name("declaration")
        default = next((child for child in node.children if child.type == "default"), None)
        if declaration is not None:
            named = declaration.child_by_field_name("name")
            if default is not None:
                self.pending_name = default if named is None else None
                local = self.text(named) if named is not None else "default"
                self._exported("default", ["local", local], context)
            self.walk([declaration], context._replace(exported=True))
            return
        value = node.child_by_field_name("value")
        if default is not None and value is not None:
            if value.type == "identifier":
                self._exported("default", ["local", self.text(value)], context)
                self.publish(self.text(value))
            else:
                self._exported("default", ["value", encode(expression(value))], context)
                if value.type in ("class", "function_expression", "arrow_function"):
                    self.pending_name = default
            self.walk([value], context._replace(exported=True))
            return
        module = string(source)
        clauses = [
            c for c in node.named_children if c.type in ("export_clause", "namespace_export")
        ]
        for clause in clauses:
            if clause.type == "namespace_export":
                token = clause.named_children[0]
                self._exported(self.text(token), ["from", module, "*"], context)
                self._refer(token, module, "*", context)
                continue
            for item in clause.named_children:
                self._export_item(item, module, context)
        if source is not None and not clauses:
            self._exported("*", ["from", module, "*"], context)
            self._refer(source, module, "*", context)
        if any(child.type == "=" for child in node.children) and source is None:
            named = next((c for c in node.named_children if c.type == "identifier"), None)
            if named is not None:
                self._exported("=", ["local", self.text(named)], context)
                self.publish(self.text(named))

    def _export_item(self, item: tree_sitter.Node, module: str, context: Context) -> None:
        name = item.child_by_field_name("name")
        if name is None:
            return
        public = item.child_by_field_name("alias") or name
        if module:
            self._exported(self.text(public), ["from", module, self.text(name)], context)
            self._refer(name, module, self.text(name), context)
        else:
            self._exported(self.text(public), ["local", self.text(name)], context)
            self.publish(self.text(name))

    def _exported(self, name: str, value: list[object], context: Context) -> None:
        self.bind(context.owner, name, "export", value, 0, len(self.source))

    def _assignment(self, node: tree_sitter.Node, context: Context) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        written = self.text(left) if left is not None and left.type == "member_expression" else ""
        if written == "module.exports" and right is not None:
            self._common_exports(right, context)
        elif written.startswith(("module.exports.", "exports.")) and right is not None:
            name = written.rsplit(".", 1)[1]
            if right.type == "identifier":
                self._exported(name, ["local", self.text(right)], context)
                self.publish(self.text(right))
            else:
                self._exported(name, ["value", encode(expression(right))], context)
        elif written.startswith("this.") and left is not None:
            self.assigned_field(left, right, context)
        self.walk([left, right], context)

    def _common_exports(self, value: tree_sitter.Node, context: Context) -> None:
        if value.type == "identifier":
            self._exported("=", ["local", self.text(value)], context)
            self.publish(self.text(value))
        elif value.type == "object":
            for item in value.named_children:
                if item.type == "shorthand_property_identifier":
                    self._exported(self.text(item), ["local", self.text(item)], context)
                    self.publish(self.text(item))
                elif item.type == "pair":
                    key, given = item.child_by_field_name("key"), item.child_by_field_name("value")
                    if key is not None and given is not None and given.type == "identifier":
                        self._exported(self.text(key), ["local", self.text(given)], context)
                        self.publish(self.text(given))
        else:
            self._exported("=", ["value", encode(expression(value))], context)
