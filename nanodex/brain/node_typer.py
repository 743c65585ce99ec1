"""Decides what a node means, by rules that have names and say what they saw.

A rule looks at resolved edges, paths and attributes, never at a name that merely sounds right: a
class called `TimeoutHandler` is no error, and one called `Oops` is one if it inherits from
`Exception`.
"""

import builtins
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nanodex.api.records import NodeType
from nanodex.graph.reader import Edge, Graph, Node


class Verdict(NamedTuple):
    """The type of a node, the rule that decided it and what the rule saw."""

    type: NodeType
    rule: str
    evidence: str


# Roots of the exceptions of each language, and the standard library's own below them: an external
# class has no source here, so the edge ends at its name.
_PYTHON_ROOTS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)
_JAVA_ROOTS = frozenset(
    "Throwable Exception RuntimeException Error IllegalArgumentException IllegalStateException "
    "IOException UncheckedIOException UnsupportedOperationException IndexOutOfBoundsException "
    "NullPointerException ArithmeticException NumberFormatException NoSuchElementException "
    "TimeoutException ExecutionException InterruptedException".split()
)
_SCRIPT_ROOTS = frozenset(
    "Error TypeError RangeError SyntaxError EvalError URIError ReferenceError "
    "AggregateError".split()
)
_CPP_ROOTS = frozenset(
    "exception runtime_error logic_error invalid_argument domain_error length_error out_of_range "
    "range_error overflow_error underflow_error system_error bad_alloc bad_cast".split()
)
_ROOTS = {
    "python": _PYTHON_ROOTS,
    "java": _JAVA_ROOTS,
    "typescript": _SCRIPT_ROOTS,
    "javascript": _SCRIPT_ROOTS,
    "cpp": _CPP_ROOTS,
}

_CLASS_KINDS = frozenset({"class", "exception", "interface", "enum"})
_CODE_KINDS = frozenset({"function", "method"})
_USES = frozenset({"calls", "instantiates", "extends", "implements", "imports"})
_TEST_PATH = re.compile(
    r"(^|/)(tests?|testing|spec|__tests__)/|(^|/)(test_[^/]*|conftest|[^/]*_test|[^/]*[a-z0-9]Tests?"
    r"|[^/]*\.(test|spec))\.[a-z]+$"
)
_EXAMPLE_PATH = re.compile(r"(^|/)(examples?|samples?|demos?|docs?|tutorials?)/")


def type_nodes(graph: Graph) -> dict[int, Verdict]:
    """Return the verdict on every first-party node, by node id."""
    errors = _errors(graph)
    return {
        node.id: _verdict(graph, node, errors.get(node.id))
        for node in graph.nodes.values()
        if not node.external
    }


def _verdict(graph: Graph, node: Node, error: str | None) -> Verdict:
    if node.kind == "module":
        shows = _TEST_PATH.search(node.path) or _EXAMPLE_PATH.search(node.path)
        return Verdict(NodeType.MODULE, "test-file" if shows else "module-file", node.path)
    if error is not None:
        return Verdict(NodeType.ERROR, "exception-root", error)
    role = _role(graph, node)
    if role is not None:
        used = _first_use(graph, node) if node.kind in _CODE_KINDS else None
        if used is not None:
            return Verdict(NodeType.RECIPE, role, f"calls {used.qualified_name}")
        if role != "entry-point":
            return Verdict(NodeType.CONCEPT, "test-support", f"{node.path} holds tests or examples")
    for rule, evidence in _CAPABILITY_RULES:
        found = evidence(graph, node)
        if found:
            return Verdict(NodeType.CAPABILITY, rule, found)
    return Verdict(NodeType.CONCEPT, "rest", "no other rule applies")


def _errors(graph: Graph) -> dict[int, str]:
    """Return the classes that inherit from their language's exception root, with the chain."""
    chains: dict[int, str] = {}
    pending: list[int] = []
    for node in graph.nodes.values():
        if node.external or node.kind not in _CLASS_KINDS:
            continue
        for edge in graph.outgoing.get(node.id, ()):
            base = graph.nodes[edge.dst]
            if (
                edge.relationship == "extends"
                and base.external
                and base.name in _ROOTS.get(node.language, frozenset())
            ):
                chains.setdefault(node.id, f"extends {base.name}")
        if node.id in chains:
            pending.append(node.id)
    while pending:
        parent = pending.pop(0)
        for edge in graph.incoming.get(parent, ()):
            if edge.relationship == "extends" and edge.src not in chains:
                name = graph.nodes[parent].name
                chains[edge.src] = f"extends {name}, which {chains[parent]}"
                pending.append(edge.src)
    return chains


def _role(graph: Graph, node: Node) -> str | None:
    """Return how a node shows the API in use: test, example, entry-point, or None."""
    if _TEST_PATH.search(node.path):
        return "test"
    if _EXAMPLE_PATH.search(node.path):
        return "example"
    if _entry_point(graph, node):
        return "entry-point"
    return None


def _first_use(graph: Graph, node: Node) -> Node | None:
    """Return the first public first-party symbol of another file that `node` calls."""
    for edge in graph.outgoing.get(node.id, ()):
        target = graph.nodes[edge.dst]
        if (
            edge.relationship in ("calls", "instantiates")
            and not target.external
            and target.visibility == "public"
            and target.path != node.path
            and not _TEST_PATH.search(target.path)
        ):
            return target
    return None


def _entry_point(graph: Graph, node: Node) -> str:
    for attribute in graph.attributes.get(node.id, ()):
        if attribute.key in ("entry_point", "route"):
            return f"{attribute.key} {attribute.value}"
    return ""


def _used_across_modules(graph: Graph, node: Node) -> str:
    if node.visibility != "public":
        return ""
    users = sorted({graph.nodes[edge.src].path for edge in _uses_from_elsewhere(graph, node)})
    return (
        f"used by {users[0]}" + (f" and {len(users) - 1} more" if users[1:] else "")
        if users
        else ""
    )


def _uses_from_elsewhere(graph: Graph, node: Node) -> Iterable[Edge]:
    for edge in graph.incoming.get(node.id, ()):
        if (
            edge.relationship in _USES
            and edge.path != node.path
            and not _TEST_PATH.search(edge.path)
        ):
            yield edge


def _documented(graph: Graph, node: Node) -> str:
    return "public and documented" if node.visibility == "public" and node.docstring else ""


_CAPABILITY_RULES: tuple[tuple[str, Callable[[Graph, Node], str]], ...] = (
    ("entry-point", _entry_point),
    ("used-across-modules", _used_across_modules),
    ("documented", _documented),
)
