"""Small readings of Java syntax: modifiers, annotations, routes, strings, anonymous classes."""

import re
from typing import NamedTuple

import tree_sitter

from nanodex.extractor.languages.java import queries
from nanodex.extractor.languages.java.expressions import text
from nanodex.extractor.typed.terms import NONE, Term, value_of

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NAMED = re.compile(r"\b(\w+)\s*=")
_METHOD = re.compile(r"RequestMethod\.(\w+)")


def modifiers(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """Return the modifiers of a declaration."""
    return next((child for child in node.named_children if child.type == "modifiers"), None)


def visibility(found: tree_sitter.Node | None, *, implicit: str) -> str:
    """Return public, protected or private; `implicit` is public inside interfaces.

    A member without a word is visible in its package: protected is the nearest that we have.
    """
    words = {child.type for child in found.children} if found is not None else set()
    for word in ("public", "protected", "private"):
        if word in words:
            return word
    return "public" if implicit == "public" else "protected"


def annotations(found: tree_sitter.Node | None) -> tuple[str, ...]:
    """Return the annotations among modifiers, as written."""
    children = found.named_children if found is not None else ()
    return tuple(
        " ".join(text(child).split())
        for child in children
        if child.type in ("annotation", "marker_annotation")
    )


def after_annotations(node: tree_sitter.Node) -> int:
    """Return the byte at which a declaration starts once its annotations are over."""
    found = modifiers(node)
    if found is None:
        return node.start_byte
    words = [c for c in found.children if c.type not in ("annotation", "marker_annotation")]
    if words:
        return words[0].start_byte
    following = node.children[node.children.index(found) + 1 :]
    return following[0].start_byte if following else node.start_byte


def base_types(clause: tree_sitter.Node | None) -> list[tree_sitter.Node]:
    """Return the types of an extends or implements clause."""
    if clause is None:
        return []
    lists = [child for child in clause.named_children if child.type == "type_list"]
    return lists[0].named_children if lists else clause.named_children


def type_name(node: tree_sitter.Node) -> tree_sitter.Node:
    """Return the token that names a type: `Entry` in `Map.Entry<K, V>`."""
    while node.type in ("generic_type", "annotated_type", "scoped_type_identifier", "array_type"):
        if node.type == "generic_type":
            node = node.named_children[0]
        else:
            node = node.named_children[-1]
    return node


def first_string(node: tree_sitter.Node | None) -> str:
    """Return the text of the first string literal in `node`."""
    stack = [node] if node is not None else []
    while stack:
        current = stack.pop()
        if current.type == "string_literal":
            return text(current)[1:-1]
        stack.extend(reversed(current.named_children))
    return ""


def environment(call: tree_sitter.Node) -> str:
    """Return NAME of `System.getenv("NAME")`; empty for any other call."""
    base, method = call.child_by_field_name("object"), call.child_by_field_name("name")
    given = call.child_by_field_name("arguments")
    if base is None or method is None or given is None or len(given.named_children) != 1:
        return ""
    if text(base) not in ("System", "java.lang.System") or text(method) != "getenv":
        return ""
    return first_string(given) if given.named_children[0].type == "string_literal" else ""


def routes(on_method: tuple[str, ...], on_class: tuple[str, ...]) -> list[str]:
    """Return `METHOD /path` for each path that annotations of Spring or JAX-RS give a method."""
    prefix = next((p for a in on_class for _, p in _mapping(a)), "")
    prefix = prefix or next((_path(a)[0] for a in on_class if a.startswith("@Path(")), "")
    found = [(verb, path) for annotation in on_method for verb, path in _mapping(annotation)]
    verbs = [a[1:] for a in on_method if a in ("@GET", "@POST", "@PUT", "@DELETE", "@PATCH")]
    if verbs:
        own = next((_path(a)[0] for a in on_method if a.startswith("@Path(")), "")
        found += [(verb, own) for verb in verbs]
    return [f"{verb} {_joined(prefix, path)}" for verb, path in found]


def _mapping(annotation: str) -> list[tuple[str, str]]:
    kind = annotation[1:].split("(")[0].rsplit(".", 1)[-1]
    if kind not in queries.MAPPINGS:
        return []
    named = _METHOD.search(annotation)
    verb = named.group(1) if named else queries.MAPPINGS[kind]
    return [(verb, path) for path in _path(annotation)]


def _path(annotation: str) -> list[str]:
    """Return the strings given without a name or as value or path."""
    found: list[str] = []
    names = [(match.start(), match.group(1)) for match in _NAMED.finditer(annotation)]
    for match in _STRING.finditer(annotation):
        before = [name for start, name in names if start < match.start()]
        if not before or before[-1] in ("value", "path"):
            found.append(match.group(1))
    return found or [""]


def _joined(prefix: str, path: str) -> str:
    parts = [part.strip("/") for part in (prefix, path) if part.strip("/")]
    return "/" + "/".join(parts)


class AnonymousBody(NamedTuple):
    """The body of an anonymous class: its bytes, its own methods, the type it is made from."""

    start: int
    end: int
    methods: frozenset[str]
    type: Term | None
    owner: int

    @classmethod
    def of(cls, body: tree_sitter.Node, type_: Term | None, owner: int) -> "AnonymousBody":
        """Read the body of an anonymous class made in symbol `owner`."""
        names = (
            child.child_by_field_name("name")
            for child in body.named_children
            if child.type in queries.METHODS
        )
        methods = frozenset(text(name) for name in names if name is not None)
        return cls(body.start_byte, body.end_byte, methods, type_, owner)

    def holds(self, node: tree_sitter.Node) -> bool:
        """Whether `node` lies in the body."""
        return self.start <= node.start_byte and node.end_byte <= self.end

    def rewrite(self, term: Term) -> Term:
        """Return `term` as it reads in here: `this` is the anonymous object."""
        if term.op in ("this", "super"):
            return value_of(self.type)
        if term.op == "call" and term.parts[0].op == "name":
            called = term.parts[0]
            head = (
                NONE
                if called.text in self.methods
                else Term("anonymous", called.text, called.at, (self.type or NONE,))
            )
            return term._replace(parts=(head, *map(self.rewrite, term.parts[1:])))
        return term._replace(parts=tuple(map(self.rewrite, term.parts))) if term.parts else term
