"""Reads graph.sqlite whole into immutable rows, with adjacency; a graph is input, so it is checked.

One load serves summaries, facts, retrieval and queries: a repository of a million lines has a few
hundred thousand rows.
"""

import builtins
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nanodex.api.reasons import Reason
from nanodex.collector import collector_paused
from nanodex.errors import UserError


class Node(NamedTuple):
    """A row of `nodes`."""

    id: int
    type: str
    name: str
    path: str
    kind: str
    qualified_name: str
    language: str
    start_line: int
    end_line: int
    signature: str
    docstring: str
    visibility: str
    parent: int | None
    start_byte: int
    end_byte: int
    name_start: int
    name_end: int
    value: str
    returns: str
    decorators: str

    @property
    def external(self) -> bool:
        """Whether the symbol is defined outside the repository."""
        return self.kind == "external"


class Edge(NamedTuple):
    """A row of `edges`."""

    src: int
    dst: int
    relationship: str
    path: str
    line: int
    rule: str
    conf: float
    start_byte: int
    end_byte: int


class Parameter(NamedTuple):
    """A row of `parameters`."""

    node: int
    position: int
    name: str
    annotation: str
    default_value: str
    start_byte: int
    end_byte: int


class RaiseSite(NamedTuple):
    """A row of `raise_sites`."""

    node: int
    exception: str
    message: str
    condition: str
    path: str
    line: int
    start_byte: int
    end_byte: int


class Attribute(NamedTuple):
    """A row of `attributes`."""

    node: int
    key: str
    value: str
    path: str
    line: int
    start_byte: int
    end_byte: int


class Unresolved(NamedTuple):
    """A row of `refs_unresolved`: a reference that no rule bound, and why."""

    src: int
    name: str
    relationship: str
    path: str
    line: int
    reason: str
    start_byte: int
    end_byte: int


class SourceFile(NamedTuple):
    """A row of `files`, its content still compressed."""

    path: str
    blob: str
    language: str
    bytes: int
    lines: int
    status: str
    reason: str
    content: builtins.bytes | None


@dataclass(frozen=True)
class Graph:
    """A whole graph in memory. Lists are in the order of the file, which is sorted."""

    meta: Mapping[str, str]
    files: Mapping[str, SourceFile]
    nodes: Mapping[int, Node]
    outgoing: Mapping[int, list[Edge]]
    incoming: Mapping[int, list[Edge]]
    parameters: Mapping[int, list[Parameter]]
    raise_sites: Mapping[int, list[RaiseSite]]
    attributes: Mapping[int, list[Attribute]]
    unresolved: Mapping[int, list[Unresolved]]
    children: Mapping[int, list[int]]

    def content(self, path: str) -> bytes:
        """Return the bytes of a file as they were parsed.

        Raises:
            KeyError: the graph holds no content of `path`.
        """
        content = self.files[path].content
        if content is None:
            raise KeyError(path)
        # The size is declared in the row: a bomb stops at one byte more than that.
        unpacked = zlib.decompressobj().decompress(content, self.files[path].bytes + 1)
        if len(unpacked) != self.files[path].bytes:
            raise KeyError(path)
        return unpacked


def load_graph(path: Path) -> Graph:
    """Read `path` whole.

    Raises:
        UserError: the file is missing or not a nanodex graph.
    """
    if not path.is_file():
        raise UserError(
            f"no graph at {path}",
            reason=Reason.INVALID_INPUT,
            hint="run `nanodex extract REPOSITORY --out graph.sqlite` first",
        )
    try:
        with (
            collector_paused(),
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database,
        ):
            return _load(database)
    except (sqlite3.DatabaseError, _Forged) as error:
        raise UserError(
            f"{path} is not a nanodex graph: {error}",
            reason=Reason.INVALID_INPUT,
            hint="make it again with `nanodex extract`",
        ) from error


class _Forged(Exception):
    """A row names a node that is not there."""


def _load(database: sqlite3.Connection) -> Graph:
    nodes = {row[0]: Node(*row) for row in database.execute(_select("nodes", Node))}
    outgoing: dict[int, list[Edge]] = defaultdict(list)
    incoming: dict[int, list[Edge]] = defaultdict(list)
    for row in database.execute(_select("edges", Edge)):
        edge = Edge(*row)
        outgoing[edge.src].append(edge)
        incoming[edge.dst].append(edge)
    parameters: dict[int, list[Parameter]] = defaultdict(list)
    for row in database.execute(_select("parameters", Parameter)):
        parameters[row[0]].append(Parameter(*row))
    raise_sites: dict[int, list[RaiseSite]] = defaultdict(list)
    for row in database.execute(_select("raise_sites", RaiseSite)):
        raise_sites[row[0]].append(RaiseSite(*row))
    attributes: dict[int, list[Attribute]] = defaultdict(list)
    for row in database.execute(_select("attributes", Attribute)):
        attributes[row[0]].append(Attribute(*row))
    unresolved: dict[int, list[Unresolved]] = defaultdict(list)
    for row in database.execute(_select("refs_unresolved", Unresolved)):
        unresolved[row[0]].append(Unresolved(*row))
    children: dict[int, list[int]] = defaultdict(list)
    for node in nodes.values():
        if node.parent is not None:
            children[node.parent].append(node.id)
    for table, named in (
        ("nodes", children),
        ("edges", outgoing),
        ("edges", incoming),
        ("parameters", parameters),
        ("raise_sites", raise_sites),
        ("attributes", attributes),
        ("refs_unresolved", unresolved),
    ):
        # SQLite checks references only where the writer asked it to.
        for node_id in named.keys() - nodes.keys():
            raise _Forged(f"a row of {table} names node {node_id}, which is not there")
    return Graph(
        meta=dict(database.execute("SELECT key, value FROM meta")),
        files={row[0]: SourceFile(*row) for row in database.execute(_select("files", SourceFile))},
        nodes=nodes,
        outgoing=outgoing,
        incoming=incoming,
        parameters=parameters,
        raise_sites=raise_sites,
        attributes=attributes,
        unresolved=unresolved,
        children=children,
    )


def _select(table: str, row: type[tuple[object, ...]]) -> str:
    columns = ", ".join(row._fields)  # type: ignore[attr-defined]
    return f"SELECT {columns} FROM {table}"
