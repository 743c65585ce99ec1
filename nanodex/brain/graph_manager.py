"""Runs typer and summarizer over a graph and writes the brain: nodes.jsonl and graph.sqlite."""

import os
import sqlite3
from collections import Counter
from importlib import resources
from pathlib import Path

from nanodex.api.base import Contract
from nanodex.api.parameters import BrainConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import NodeRecord
from nanodex.brain.node_typer import Verdict, type_nodes
from nanodex.brain.summarizer import CountTokens, summarize
from nanodex.errors import Interrupted, UserError
from nanodex.graph.reader import Node, load_graph

# Nodes whose summaries are written together, between two words about progress.
_AT_ONCE = 500
# Tables in the order of their references; nodes are written apart, with their types.
_COPIED = ("meta", "files", "parameters", "edges", "refs_unresolved", "raise_sites", "attributes")


class BrainMetrics(Contract):
    """Figures of one brain."""

    nodes: int
    modules: int
    capabilities: int
    concepts: int
    errors: int
    recipes: int
    summary_bytes: int


def build_brain(
    graph: Path,
    config: BrainConfig,
    *,
    out: Path,
    count_tokens: CountTokens,
    progress: Progress,
) -> BrainMetrics:
    """Type and summarize every first-party node of `graph`.

    Writes `out/nodes.jsonl` (a NodeRecord a line, in the order of node ids) and `out/graph.sqlite`
    (the same graph with `nodes.type` filled). Equal graphs give equal bytes.

    Args:
        graph: graph.sqlite of the extract stage.
        config: limits of a summary.
        out: folder to write to; made where it is missing.
        count_tokens: tokens of each text by the base model's tokenizer.
        progress: told how many nodes are done.

    Raises:
        UserError: `graph` is no graph, or holds no first-party node.
        Interrupted: `progress.stopping` was seen.
    """
    loaded = load_graph(graph)
    verdicts = type_nodes(loaded)
    if not verdicts:
        raise UserError(
            f"{graph} holds no symbol of the repository itself",
            reason=Reason.NOTHING_TO_LEARN,
            hint="check include, exclude, subPath and languages of the source",
        )
    out.mkdir(parents=True, exist_ok=True)
    size = 0
    temporary = out / "nodes.jsonl.tmp"
    with temporary.open("w", encoding="utf-8", newline="\n") as lines:
        ordered = sorted(verdicts)
        for done in range(0, len(ordered), _AT_ONCE):
            nodes = [loaded.nodes[identity] for identity in ordered[done : done + _AT_ONCE]]
            summaries = summarize(
                loaded, nodes, max_tokens=config.max_tokens, count_tokens=count_tokens
            )
            for node, summary in zip(nodes, summaries, strict=True):
                lines.write(_record(node, verdicts[node.id], summary).model_dump_json() + "\n")
                size += len(summary.encode())
            progress.update(done + len(nodes), len(ordered), unit="nodes")
            if progress.stopping:
                raise Interrupted(
                    "the brain was stopped",
                    reason=Reason.INTERRUPTED,
                    hint="run it again; it takes seconds",
                )
    os.replace(temporary, out / "nodes.jsonl")
    _write_graph(graph, verdicts, out=out / "graph.sqlite")
    return _metrics(verdicts, size)


def _record(node: Node, verdict: Verdict, summary: str) -> NodeRecord:
    return NodeRecord(
        id=node.id,
        qualified_name=node.qualified_name,
        kind=node.kind,
        type=verdict.type,
        rule=verdict.rule,
        evidence=verdict.evidence,
        summary=summary,
    )


def _write_graph(source: Path, verdicts: dict[int, Verdict], *, out: Path) -> None:
    """Copy the rows of `source` into a database of our own schema, with the types filled in.

    Rows alone are copied: triggers or views that a foreign file may hold stay behind.
    """
    temporary = out.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    database = sqlite3.connect(f"{temporary.resolve().as_uri()}?mode=rwc", uri=True)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("ATTACH ? AS source", (f"{source.resolve().as_uri()}?mode=ro",))
        database.execute("CREATE TEMP TABLE types (id INTEGER PRIMARY KEY, type TEXT NOT NULL)")
        schema = resources.files("nanodex.graph").joinpath("schema.sql").read_text("utf-8")
        database.executescript(schema)
        with database:
            database.executemany(
                "INSERT INTO types VALUES (?, ?)",
                sorted((identity, verdict.type.value) for identity, verdict in verdicts.items()),
            )
            for table in _COPIED:
                columns = ", ".join(_columns(database, table))
                database.execute(
                    f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}"
                )
            columns_of_nodes = [name for name in _columns(database, "nodes") if name != "type"]
            database.execute(
                f"INSERT INTO main.nodes (type, {', '.join(columns_of_nodes)}) "
                f"SELECT coalesce(types.type, ''), {', '.join('n.' + c for c in columns_of_nodes)} "
                "FROM source.nodes AS n LEFT JOIN types USING (id) ORDER BY n.id"
            )
        database.execute("DETACH source")
        database.execute("VACUUM")
    finally:
        database.close()
    os.replace(temporary, out)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]


def _metrics(verdicts: dict[int, Verdict], summary_bytes: int) -> BrainMetrics:
    types = Counter(verdict.type.value for verdict in verdicts.values())
    return BrainMetrics(
        nodes=len(verdicts),
        modules=types["module"],
        capabilities=types["capability"],
        concepts=types["concept"],
        errors=types["error"],
        recipes=types["recipe"],
        summary_bytes=summary_bytes,
    )
