"""A whole small graph as text. After a change that is meant, running this file writes it anew."""

import tempfile
from pathlib import Path

from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.extractor import extract
from nanodex.graph.reader import Graph, load_graph
from nanodex.source.checkout import Checkout, SourceFile

_PYTHON = Path(__file__).parents[2] / "fixtures/languages/python"
_GOLDEN = _PYTHON / "depot.golden.txt"


def _text(graph: Graph) -> str:
    names = {node.id: node.qualified_name for node in graph.nodes.values()}
    lines = [
        f"{node.kind} {node.qualified_name} {node.path}:{node.start_line}-{node.end_line} "
        f"{node.visibility} {node.signature}".rstrip()
        for node in graph.nodes.values()
    ]
    lines += sorted(
        f"{edge.path}:{edge.line} {names[edge.src]} {edge.relationship} {names[edge.dst]} "
        f"[{edge.rule} {edge.conf}]"
        for edges in graph.outgoing.values()
        for edge in edges
        if edge.relationship != "defines"
    )
    return "\n".join(lines) + "\n"


def _extracted() -> str:
    root = _PYTHON / "depot"
    files = tuple(
        SourceFile(path.relative_to(root).as_posix(), path.stat().st_size)
        for path in sorted(root.rglob("*.py"))
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "graph.sqlite"
        extract(
            Checkout(root, "depot", "", files, ()),
            ExtractorConfig(workers=1),
            out=out,
            cache=None,
            progress=Silent(),
        )
        return _text(load_graph(out))


def test_the_graph_of_depot():
    assert _extracted() == _GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    _GOLDEN.write_text(_extracted(), encoding="utf-8")
