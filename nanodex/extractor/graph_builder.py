"""Writes graph.sqlite: sorted rows, one transaction, a temporary file renamed at the end."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from nanodex.api.stages import SCHEMA_VERSION, StageName
from nanodex.extractor.linker import Linker
from nanodex.extractor.program import Unit


@dataclass(slots=True)
class FileRow:
    """A row of `files` without its id."""

    path: str
    blob: str = ""
    language: str = ""
    size: int = 0
    lines: int = 0
    status: str = "skipped"
    reason: str = ""
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a graph got."""

    nodes: int
    external_nodes: int
    edges: int
    unresolved: int


def snapshot(rows: Iterable[FileRow]) -> str:
    """Return the SHA-256 over path and content digest of every listed file, in order of path."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.path):
        digest.update(f"{row.path}\0{row.blob}\n".encode())
    return digest.hexdigest()


def write_graph(out: Path, *, repository: str, rows: Sequence[FileRow], linker: Linker) -> Counts:
    """Write the graph to `out`, replacing what was there only when it is whole.

    Args:
        out: path of the new graph.sqlite; its folder exists.
        repository: short name of the repository.
        rows: every listed file, sorted by path.
        linker: the linked program.
    """
    partial = out.with_name(f".{out.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as database:
            counts = _fill(database, repository=repository, rows=rows, linker=linker)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def _fill(
    database: sqlite3.Connection, *, repository: str, rows: Sequence[FileRow], linker: Linker
) -> Counts:
    # The file is thrown away unless it becomes whole: no journal, no flush for each page.
    database.execute("PRAGMA page_size = 4096")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    tables, indexes = _schema()
    database.execute("BEGIN")
    for statement in tables:
        database.execute(statement)
    meta = {
        "repository": repository,
        "schema": str(SCHEMA_VERSION[StageName.EXTRACT]),
        "snapshot": snapshot(rows),
    }
    _insert(database, "meta", meta.items())
    _insert(database, "files", (_file_values(number, row) for number, row in enumerate(rows, 1)))
    for unit in linker.units:
        _insert(database, "nodes", _node_values(unit, linker))
        _insert(database, "parameters", _parameter_values(unit, linker))
    edges = unresolved = 0
    for linked in linker.link():
        path, first, current = linked.unit.path, linked.unit.first, linker.program.current
        edges += len(linked.edges)
        unresolved += len(linked.unresolved)
        _insert(
            database,
            "edges",
            (
                (
                    e.src,
                    e.dst,
                    e.relationship,
                    path,
                    e.line,
                    e.rule,
                    e.conf,
                    e.start_byte,
                    e.end_byte,
                )
                for e in linked.edges
            ),
        )
        _insert(
            database,
            "refs_unresolved",
            (
                (r.src, r.name, r.relationship, path, r.line, r.reason, r.start_byte, r.end_byte)
                for r in linked.unresolved
            ),
        )
        _insert(
            database,
            "raise_sites",
            (
                (current(first + s.source), s.exception, s.message, s.condition, path, s.line,
                 s.start_byte, s.end_byte)
                for s in linked.raise_sites
            ),
        )  # fmt: skip
        _insert(
            database,
            "attributes",
            (
                (current(first + a.source), a.key, a.value, path, a.line, a.start_byte, a.end_byte)
                for a in linked.attributes
            ),
        )
    _insert(
        database,
        "nodes",
        (
            (node, "", symbol.name.rpartition(".")[2], "", "external", symbol.name, symbol.language,
             0, 0, "", "", "public", None, 0, 0, 0, 0, "", "", "[]")
            for symbol, node in linker.externals.items()
        ),
    )  # fmt: skip
    for statement in indexes:
        database.execute(statement)
    database.execute("COMMIT")
    nodes = linker.program.node_count - len(linker.program.replaced)
    return Counts(nodes, len(linker.externals), edges, unresolved)


def _schema() -> tuple[list[str], list[str]]:
    text = files("nanodex.graph").joinpath("schema.sql").read_text(encoding="utf-8")
    lines = (line.partition("--")[0] for line in text.splitlines())
    statements = [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
    indexes = [statement for statement in statements if statement.startswith("CREATE INDEX")]
    return [statement for statement in statements if statement not in indexes], indexes


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return
    # `table` is one of the names above, never input.
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"
    database.execute(statement, first)
    database.executemany(statement, iterator)


def _file_values(number: int, row: FileRow) -> tuple[Any, ...]:
    return (
        number, row.path, row.blob, row.language, row.size, row.lines, row.status, row.reason,
        row.content,
    )  # fmt: skip


def _node_values(unit: Unit, linker: Linker) -> Iterator[tuple[Any, ...]]:
    for index, symbol in enumerate(unit.symbols):
        node = unit.first + index
        if node in linker.program.replaced:
            continue
        yield (
            node, "",
            symbol.name or unit.names.label or unit.names.module.rpartition(".")[2], unit.path,
            linker.kind(node), unit.qualified_name(index), unit.language,
            symbol.start_line, symbol.end_line, symbol.signature, symbol.docstring,
            symbol.visibility, linker.program.parent(node),
            symbol.start_byte, symbol.end_byte, symbol.name_start, symbol.name_end,
            symbol.value, symbol.returns, _json_list(symbol.decorators),
        )  # fmt: skip


def _json_list(texts: tuple[str, ...]) -> str:
    return json.dumps(texts, ensure_ascii=False) if texts else "[]"


def _parameter_values(unit: Unit, linker: Linker) -> Iterator[tuple[Any, ...]]:
    for index, symbol in enumerate(unit.symbols):
        if unit.first + index in linker.program.replaced:
            continue
        for position, parameter in enumerate(symbol.parameters):
            yield (unit.first + index, position, *parameter)
