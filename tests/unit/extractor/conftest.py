"""Extracts small sources given as text and reads the graph as a user would."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.extractor import extract
from nanodex.graph.reader import Graph, load_graph
from nanodex.source.checkout import Checkout, SourceFile

Sources = Mapping[str, str | bytes]


class Extracted:
    """A graph, asked by names."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def edges(self, relationship: str, *, rules: bool = False) -> set[tuple[str, ...]]:
        """Edges of a relationship as (from, to) or (from, to, rule)."""
        names = {node.id: node.qualified_name for node in self.graph.nodes.values()}
        return {
            (names[edge.src], names[edge.dst], *([edge.rule] if rules else []))
            for edges in self.graph.outgoing.values()
            for edge in edges
            if edge.relationship == relationship
        }

    def callees(self, caller: str) -> set[str]:
        """What `caller` calls or instantiates."""
        return {
            to
            for relationship in ("calls", "instantiates")
            for name, to in self.edges(relationship)
            if name == caller
        }

    def kinds(self) -> dict[str, str]:
        """Kind of each first-party node."""
        return {n.qualified_name: n.kind for n in self.graph.nodes.values() if not n.external}


def checkout_of(root: Path, sources: Sources) -> Checkout:
    """Write sources below `root` and list them in the order given."""
    files = []
    for path, text in sources.items():
        content = text if isinstance(text, bytes) else text.encode()
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        files.append(SourceFile(path, len(content)))
    return Checkout(root, "demo", "0" * 40, tuple(files), ())


@pytest.fixture
def extracted(tmp_path: Path) -> Callable[[Sources], Extracted]:
    """Extract sources and load the graph."""

    def run(sources: Sources) -> Extracted:
        out = tmp_path / "graph.sqlite"
        extract(
            checkout_of(tmp_path / "source", sources),
            ExtractorConfig(workers=1),
            out=out,
            cache=None,
            progress=Silent(),
        )
        return Extracted(load_graph(out))

    return run
