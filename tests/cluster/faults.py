"""What each fault cost, as a table: time to recover, work lost, requests failed."""

from dataclasses import dataclass, field
from typing import Any

_HEAD = ("fault", "recovered", "work lost", "requests failed")


@dataclass
class Faults:
    """The rows, in the order in which faults happened."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(
        self, fault: str, *, seconds: float, lost: str, seen: list[dict[str, Any]] | None = None
    ) -> None:
        """Note what one cost.

        Args:
            fault: what happened.
            seconds: until all was right again.
            lost: of the work, in its own unit.
            seen: answers meanwhile; None where nobody asked.
        """
        failed = [one for one in seen or () if one["status"] != 200]
        requests = "-" if seen is None else f"{len(failed)} of {len(seen)}"
        self.rows.append((fault, f"{seconds:.0f} s", lost, requests))

    def table(self) -> str:
        """Return the rows as text."""
        rows = [_HEAD, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
        return "".join(f"{line}\n" for line in lines)
