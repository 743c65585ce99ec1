"""The brain on disk: a record for each node, the graph with types, the same bytes twice."""

import hashlib
import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from nanodex.api.parameters import BrainConfig
from nanodex.api.progress import Silent
from nanodex.api.reasons import Reason
from nanodex.api.records import NodeRecord, NodeType
from nanodex.brain import BrainMetrics, build_brain
from nanodex.errors import Interrupted, UserError
from nanodex.graph.reader import load_graph
from tests.tokens import characters

NODES = [
    (1, "app", "src/app.py", "module", "app", None),
    (2, "Oops", "src/app.py", "exception", "app.Oops", 1),
    (3, "quote", "src/app.py", "function", "app.quote", 1),
    (4, "Exception", "", "external", "builtins.Exception", None),
]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.sqlite"
    database = sqlite3.connect(path)
    database.executescript(resources.files("nanodex.graph").joinpath("schema.sql").read_text())
    database.executemany("INSERT INTO meta VALUES (?, ?)", [("repository", "r"), ("snapshot", "s")])
    database.executemany(
        "INSERT INTO nodes VALUES (?, '', ?, ?, ?, ?, 'python', 1, 2, '', 'Says something.',"
        " 'public', ?, 0, 1, 0, 1, '', '', '[]')",
        NODES,
    )
    database.execute(
        "INSERT INTO edges VALUES (2, 4, 'extends', 'src/app.py', 1, 'builtin', 1.0, 0, 1)"
    )
    database.commit()
    database.close()
    return path


def build(graph: Path, out: Path) -> BrainMetrics:
    return build_brain(graph, BrainConfig(), out=out, count_tokens=characters, progress=Silent())


def test_each_first_party_node_gets_a_record_in_order(graph: Path, tmp_path: Path) -> None:
    metrics = build(graph, tmp_path / "out")
    lines = (tmp_path / "out" / "nodes.jsonl").read_text().splitlines()
    records = [NodeRecord.model_validate_json(line) for line in lines]
    assert [(record.id, record.type) for record in records] == [
        (1, NodeType.MODULE),
        (2, NodeType.ERROR),
        (3, NodeType.CAPABILITY),
    ]
    assert all(record.rule and record.evidence and record.summary for record in records)
    assert (metrics.nodes, metrics.errors, metrics.capabilities) == (3, 1, 1)


def test_the_graph_is_the_same_with_types_filled_in(graph: Path, tmp_path: Path) -> None:
    build(graph, tmp_path / "out")
    before, after = load_graph(graph), load_graph(tmp_path / "out" / "graph.sqlite")
    assert [node.type for node in after.nodes.values()] == ["module", "error", "capability", ""]
    assert [n._replace(type="") for n in after.nodes.values()] == list(before.nodes.values())
    assert after.outgoing == before.outgoing
    assert after.meta == before.meta


def test_equal_graphs_give_equal_bytes(graph: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        build(graph, tmp_path / name)
        digests.append(
            [
                hashlib.sha256((tmp_path / name / file).read_bytes()).hexdigest()
                for file in ("nodes.jsonl", "graph.sqlite")
            ]
        )
    assert digests[0] == digests[1]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["graph.sqlite", "nodes.jsonl"]


def test_triggers_of_a_foreign_file_are_neither_run_nor_copied(graph: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(graph)
    database.execute("CREATE TRIGGER evil AFTER INSERT ON nodes BEGIN DELETE FROM edges; END")
    database.commit()
    database.close()
    build(graph, tmp_path / "out")
    copy = sqlite3.connect(tmp_path / "out" / "graph.sqlite")
    assert copy.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (
        0,
    )
    assert copy.execute("SELECT count(*) FROM edges").fetchone() == (1,)
    copy.close()


def test_a_graph_without_symbols_has_nothing_to_learn(graph: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(graph)
    database.execute("DELETE FROM nodes WHERE kind <> 'external'")
    database.execute("DELETE FROM edges")
    database.commit()
    database.close()
    with pytest.raises(UserError) as caught:
        build(graph, tmp_path / "out")
    assert caught.value.reason is Reason.NOTHING_TO_LEARN


def test_it_stops_when_asked(graph: Path, tmp_path: Path) -> None:
    class Stopping(Silent):
        stopping = True

    with pytest.raises(Interrupted):
        build_brain(
            graph, BrainConfig(), out=tmp_path / "out", count_tokens=characters, progress=Stopping()
        )
    assert not (tmp_path / "out" / "nodes.jsonl").exists()
