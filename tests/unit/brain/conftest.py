"""Graphs made of rows, as small as the rule that a test is about."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from nanodex.graph.reader import Attribute, Edge, Graph, Node, RaiseSite


class Rows:
    """Collects rows under their qualified names."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.raise_sites: dict[int, list[RaiseSite]] = defaultdict(list)
        self.attributes: dict[int, list[Attribute]] = defaultdict(list)

    def node(
        self,
        name: str,
        kind: str = "function",
        *,
        path: str = "src/app.py",
        docstring: str = "",
        visibility: str = "public",
        language: str = "python",
        signature: str = "",
    ) -> "Rows":
        self.nodes[name] = Node(
            id=len(self.nodes) + 1,
            type="",
            name=name.rsplit(".", 1)[-1],
            path="" if kind == "external" else path,
            kind=kind,
            qualified_name=name,
            language=language,
            start_line=3,
            end_line=9,
            signature=signature,
            docstring=docstring,
            visibility=visibility,
            parent=None,
            start_byte=0,
            end_byte=0,
            name_start=0,
            name_end=0,
            value="",
            returns="",
            decorators="[]",
        )
        return self

    def edge(self, src: str, relationship: str, dst: str) -> "Rows":
        source = self.nodes[src]
        self.edges.append(
            Edge(source.id, self.nodes[dst].id, relationship, source.path, 4, "import", 1.0, 0, 0)
        )
        return self

    def raises(self, name: str, exception: str, *, condition: str = "") -> "Rows":
        node = self.nodes[name]
        site = RaiseSite(node.id, exception, "", condition, node.path, 5, 0, 0)
        self.raise_sites[node.id].append(site)
        return self

    def attribute(self, name: str, key: str, value: str) -> "Rows":
        node = self.nodes[name]
        self.attributes[node.id].append(Attribute(node.id, key, value, node.path, 5, 0, 0))
        return self

    def graph(self) -> Graph:
        outgoing: dict[int, list[Edge]] = defaultdict(list)
        incoming: dict[int, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            outgoing[edge.src].append(edge)
            incoming[edge.dst].append(edge)
        return Graph(
            meta={},
            files={},
            nodes={node.id: node for node in self.nodes.values()},
            outgoing=outgoing,
            incoming=incoming,
            parameters={},
            raise_sites=self.raise_sites,
            attributes=self.attributes,
            unresolved={},
            children={},
        )


@pytest.fixture
def rows() -> Callable[[], Rows]:
    return Rows
