"""What each fault cost, as a table: time to recover, work lost, requests failed."""

from dataclasses import dataclass, field
from typing import Any

from tests.cluster.traffic import failed

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
        requests = "-" if seen is None else f"{len(failed(seen))} of {len(seen)}"
        self.rows.append((fault, f"{seconds:.0f} s", lost, requests))

    def cost_no_answer(
        self, fault: str, *, seconds: float, seen: list[dict[str, Any]], lost: str = "none"
    ) -> None:
        """Note what one cost, and that no answer was lost to it.

        Raises:
            AssertionError: one was.
        """
        self.add(fault, seconds=seconds, lost=lost, seen=seen)
        assert not failed(seen)

    def table(self) -> str:
        """Return the rows as text."""
        rows = [_HEAD, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
        return "".join(f"{line}\n" for line in lines)
