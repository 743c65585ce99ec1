"""Writes graph.sqlite: sorted rows, one transaction, a temporary file renamed at the end."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

from nanodex.api.stages import SCHEMA_VERSION, StageName
from nanodex.extractor.linker import EdgeRow, LinkedUnit, Linker, UnresolvedRow
from nanodex.extractor.parts import linking
from nanodex.extractor.program import Program, Unit


def _places(count: int) -> str:
    return ", ".join("?" * count)


_INSERT_FILE = f"INSERT INTO files VALUES ({_places(9)})"
_INSERT_NODE = f"INSERT INTO nodes VALUES ({_places(20)})"
_INSERT_PARAMETER = f"INSERT INTO parameters VALUES ({_places(7)})"
_INSERT_EDGE = (
    f"INSERT INTO edges ({', '.join(EdgeRow._fields)}) VALUES ({_places(len(EdgeRow._fields))})"
)
_INSERT_UNRESOLVED = (
    f"INSERT INTO refs_unresolved ({', '.join(UnresolvedRow._fields)})"
    f" VALUES ({_places(len(UnresolvedRow._fields))})"
)
_INSERT_RAISE_SITE = f"INSERT INTO raise_sites VALUES ({_places(8)})"
_INSERT_ATTRIBUTE = f"INSERT INTO attributes VALUES ({_places(7)})"


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


def write_graph(
    out: Path, *, repository: str, rows: Sequence[FileRow], linker: Linker, workers: int
) -> Counts:
    """Write the graph to `out`, replacing what was there only when it is whole.

    Args:
        out: path of the new graph.sqlite; its folder exists.
        repository: short name of the repository.
        rows: every listed file, sorted by path.
        linker: the program.
        workers: processes that link it; 0 is one for each core that this process may use.
    """
    partial = out.with_name(f".{out.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with (
            linking(linker, workers=workers) as linked_units,
            closing(sqlite3.connect(partial, isolation_level=None)) as database,
        ):
            counts = _fill(
                database, repository=repository, rows=rows, linker=linker, linked_units=linked_units
            )
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def _fill(
    database: sqlite3.Connection,
    *,
    repository: str,
    rows: Sequence[FileRow],
    linker: Linker,
    linked_units: Iterable[LinkedUnit],
) -> Counts:
    # The file is thrown away unless it becomes whole: no journal, no flush for each page.
    database.execute("PRAGMA page_size = 4096")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    # Every page of a usual graph is written once; the two MB of the default write many of them
    # again and again while tables grow in turns.
    database.execute("PRAGMA cache_size = -65536")
    tables, indexes = _schema()
    database.execute("BEGIN")
    for statement in tables:
        database.execute(statement)
    meta = {
        "repository": repository,
        "schema": str(SCHEMA_VERSION[StageName.EXTRACT]),
        "snapshot": snapshot(rows),
    }
    database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    database.executemany(_INSERT_FILE, map(_file_values, count(1), rows))
    for unit in linker.units:
        database.executemany(_INSERT_NODE, _node_values(unit, linker))
        database.executemany(_INSERT_PARAMETER, _parameter_values(unit, linker))
    edges = unresolved = 0
    for linked in linked_units:
        edges += len(linked.edges)
        unresolved += len(linked.unresolved)
        _insert_linked(database, linked, linker.program)
    database.executemany(
        _INSERT_NODE,
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


def _insert_linked(database: sqlite3.Connection, linked: LinkedUnit, program: Program) -> None:
    path, first, current = linked.path, linked.first, program.current
    database.executemany(_INSERT_EDGE, linked.edges)
    database.executemany(_INSERT_UNRESOLVED, linked.unresolved)
    database.executemany(
        _INSERT_RAISE_SITE,
        (
            (current(first + s.source), s.exception, s.message, s.condition, path, s.line,
             s.start_byte, s.end_byte)
            for s in linked.raise_sites
        ),
    )  # fmt: skip
    database.executemany(
        _INSERT_ATTRIBUTE,
        (
            (current(first + a.source), a.key, a.value, path, a.line, a.start_byte, a.end_byte)
            for a in linked.attributes
        ),
    )


def _file_values(number: int, row: FileRow) -> tuple[Any, ...]:
    return (
        number, row.path, row.blob, row.language, row.size, row.lines, row.status, row.reason,
        row.content,
    )  # fmt: skip


def _node_values(unit: Unit, linker: Linker) -> Iterator[tuple[Any, ...]]:
    replaced, adopted = linker.program.replaced, linker.program.adopted
    for index, symbol in enumerate(unit.symbols):
        node = unit.first + index
        if node in replaced:
            continue
        parent = unit.first + symbol.parent if symbol.parent >= 0 else None
        yield (
            node, "",
            symbol.name or unit.names.label or unit.names.module.rpartition(".")[2], unit.path,
            linker.kind(node), unit.qualified_name(index), unit.language,
            symbol.start_line, symbol.end_line, symbol.signature, symbol.docstring,
            symbol.visibility, adopted.get(node, parent),
            symbol.start_byte, symbol.end_byte, symbol.name_start, symbol.name_end,
            symbol.value, symbol.returns, _json_list(symbol.decorators),
        )  # fmt: skip


def _json_list(texts: tuple[str, ...]) -> str:
    return json.dumps(texts, ensure_ascii=False) if texts else "[]"


def _parameter_values(unit: Unit, linker: Linker) -> Iterator[tuple[Any, ...]]:
    for index, symbol in enumerate(unit.symbols):
        if not symbol.parameters or unit.first + index in linker.program.replaced:
            continue
        for position, parameter in enumerate(symbol.parameters):
            yield (unit.first + index, position, *parameter)
