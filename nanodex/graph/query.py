"""Questions that people ask of a graph: what is in it, what is this symbol, what touches it."""

import difflib
from collections import Counter
from collections.abc import Iterable

from nanodex.api.base import Contract
from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.graph.reader import Edge, Graph, Node


class GraphStatistics(Contract):
    """Counts of one graph, each sorted by size."""

    repository: str
    snapshot: str
    files: dict[str, int]
    languages: dict[str, int]
    nodes: dict[str, int]
    edges: dict[str, int]
    rules: dict[str, int]
    unresolved: dict[str, int]


class Relation(Contract):
    """An edge as seen from one symbol."""

    relationship: str
    direction: str
    symbol: str
    path: str
    line: int
    rule: str
    conf: float


class Symbol(Contract):
    """A node with all its edges."""

    qualified_name: str
    type: str
    kind: str
    path: str
    line: int
    signature: str
    docstring: str
    relations: tuple[Relation, ...]


def statistics(graph: Graph) -> GraphStatistics:
    """Count files by status, nodes by kind, edges by relationship and rule, what stayed open."""
    edges = [edge for edges in graph.outgoing.values() for edge in edges]
    return GraphStatistics(
        repository=graph.meta.get("repository", ""),
        snapshot=graph.meta.get("snapshot", ""),
        files=_count(
            f"{file.status}: {file.reason}" if file.reason else file.status
            for file in graph.files.values()
        ),
        languages=_count(file.language for file in graph.files.values() if file.language),
        nodes=_count(node.kind for node in graph.nodes.values()),
        edges=_count(edge.relationship for edge in edges),
        rules=_count(edge.rule for edge in edges),
        unresolved=_count(row.reason for rows in graph.unresolved.values() for row in rows),
    )


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def find_symbols(graph: Graph, name: str) -> list[Node]:
    """Return the nodes called `name`: by qualified name, else by its last parts.

    Raises:
        UserError: no node has the name; the hint names the nearest ones.
    """
    nodes = sorted(graph.nodes.values(), key=lambda node: (node.qualified_name, node.id))
    exact = [node for node in nodes if node.qualified_name == name]
    found = exact or [node for node in nodes if f".{node.qualified_name}".endswith(f".{name}")]
    if found:
        return found
    names = {node.name: node.qualified_name for node in nodes if not node.external}
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], names, n=3, cutoff=0.5)
    raise UserError(
        f"the graph has no symbol {name!r}",
        reason=Reason.INVALID_INPUT,
        hint="nearest: " + ", ".join(names[match] for match in near)
        if near
        else "`nanodex graph stats` shows what the graph holds",
    )


def describe(graph: Graph, node: Node, *, relationship: str = "") -> Symbol:
    """Return the node with its edges, of one relationship or of all."""
    relations = [
        _relation(graph, edge, direction="out", other=edge.dst)
        for edge in graph.outgoing.get(node.id, [])
    ] + [
        _relation(graph, edge, direction="in", other=edge.src)
        for edge in graph.incoming.get(node.id, [])
    ]
    return Symbol(
        qualified_name=node.qualified_name,
        type=node.type,
        kind=node.kind,
        path=node.path,
        line=node.start_line,
        signature=node.signature,
        docstring=node.docstring,
        relations=tuple(
            sorted(
                (one for one in relations if relationship in ("", one.relationship)),
                key=lambda one: (one.relationship, one.direction, one.symbol, one.path, one.line),
            )
        ),
    )


def _relation(graph: Graph, edge: Edge, *, direction: str, other: int) -> Relation:
    return Relation(
        relationship=edge.relationship,
        direction=direction,
        symbol=graph.nodes[other].qualified_name,
        path=edge.path,
        line=edge.line,
        rule=edge.rule,
        conf=edge.conf,
    )
