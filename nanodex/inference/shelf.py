"""The placed folders of an agent under a disk budget: the least used go, never one in use."""

import os
from collections.abc import Iterable
from pathlib import Path

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NotServable, TryAgain
from nanodex.inference.placement import discard

# A request that was given up may lie in the engine's queue and have it read the folder again.
GRACE_SECONDS = 60.0


class Shelf:
    """Folders below `root`, at most `budget_bytes` of them."""

    def __init__(self, root: Path, *, budget_bytes: int) -> None:
        self.root = root
        self._budget = budget_bytes
        self._reserved = 0
        # When the engine was last seen to know a folder, seconds.
        self._seen: dict[Path, float] = {}

    def clear_unfinished(self) -> None:
        """Remove what a process before this one did not finish."""
        if self.root.is_dir():
            for path in self.root.glob(".placing-*"):
                discard(path)

    def in_use(self, folders: Iterable[Path], *, now: float) -> None:
        """Take note of the folders that the engine knows at the time `now`."""
        self._seen = {path: at for path, at in self._seen.items() if now - at < GRACE_SECONDS}
        self._seen |= dict.fromkeys(folders, now)

    def touch(self, folder: Path, *, now: float) -> None:
        """Take note that a folder is about to be loaded."""
        os.utime(folder)
        self._seen[folder] = now

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes and keep it until `release`.

        Raises:
            NotServable: it is more than the whole budget.
            TryAgain: everything that could go is in use.
        """
        if size > self._budget:
            raise NotServable(
                f"the adapter has {size} bytes, the server keeps {self._budget} in all",
                reason=Reason.NOT_SERVABLE,
                hint="raise adapters.maxDisk of the ModelServer, or train a smaller rank",
            )
        sizes = {path: _size(path) for path in self._placed()}
        free = self._budget - self._reserved - sum(sizes.values())
        for path in sorted(sizes, key=lambda path: path.stat().st_mtime_ns):
            if free >= size:
                break
            if path not in self._seen:
                discard(path)
                free += sizes[path]
        if free < size:
            raise TryAgain(
                "the disk is full of adapters in use",
                reason=Reason.SERVER_AT_CAPACITY,
                hint="raise adapters.maxDisk of the ModelServer",
                exit_code=ExitCode.SERVER_UNAVAILABLE,
            )
        self._reserved += size

    def release(self, size: int) -> None:
        """Give back what `reserve` kept."""
        self._reserved -= size

    def _placed(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return [path for path in self.root.iterdir() if path.name.startswith("sha256-")]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
