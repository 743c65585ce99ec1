"""One JSON file per symbol: the brain as people and scripts browse it."""

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from nanodex.api.base import Contract
from nanodex.api.reasons import Reason
from nanodex.api.records import NodeRecord
from nanodex.errors import UserError
from nanodex.graph.query import Symbol, describe
from nanodex.graph.reader import load_graph


class ExportedNode(Contract):
    """Content of one file."""

    node: NodeRecord
    symbol: Symbol


def export_nodes(brain: Path, *, out: Path) -> int:
    """Write `<readable name>-<hash>.json` below `out` for each node of a brain; returns how many.

    Raises:
        UserError: `brain` is not what the brain stage writes.
    """
    graph = load_graph(brain / "graph.sqlite")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with (brain / "nodes.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                record = NodeRecord.model_validate_json(line)
                exported = ExportedNode(node=record, symbol=describe(graph, graph.nodes[record.id]))
                path = out / _file_name(record)
                path.write_text(exported.model_dump_json(indent=2) + "\n", encoding="utf-8")
                count += 1
    except (OSError, KeyError, ValidationError) as error:
        raise UserError(
            f"{brain} does not hold a brain: {type(error).__name__}",
            reason=Reason.INVALID_INPUT,
            hint="make it with `nanodex brain --graph graph.sqlite --out brain/`",
        ) from error
    return count


def _file_name(record: NodeRecord) -> str:
    # A qualified name comes from a repository: its characters and its length are not trusted.
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", record.qualified_name).strip(".")[:80]
    digest = hashlib.sha256(f"{record.id} {record.qualified_name}".encode()).hexdigest()[:8]
    return f"{readable or 'node'}-{digest}.json"
