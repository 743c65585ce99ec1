"""The folders of a run on this machine; all of it may be deleted between runs and is made again.

artifacts/<digest>/      fetched artifacts, verified before each use
work/<stage>-<key>/      what a running stage writes
checkpoints/<key>/       of training, mirrored to the store
records/                 parse records of extract
locks/<key>              held while a stage runs
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nanodex.api.identity import Identity
from nanodex.api.manifest import Manifest
from nanodex.api.reasons import Reason
from nanodex.artifacts import ObjectStore, fetch
from nanodex.errors import UserError
from nanodex.pipeline.signals import StopFlag

_LOCK_SECONDS = 0.5


class Workspace:
    """Folders below `root`, shared by the processes of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            for name in ("artifacts", "work", "checkpoints", "locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the cache {self.root} cannot be used: {error.strerror}",
                reason=Reason.INVALID_INPUT,
                hint="Name a folder that you may write to.",
            ) from error

    def artifact(self, manifest: Manifest, *, store: ObjectStore) -> Path:
        """Return the folder of an artifact, every SHA-256 verified.

        Raises:
            TryAgain: DigestMismatch, or the store is away.
        """
        return fetch(manifest, store=store, destination=self._artifact(manifest))

    def keep(self, out: Path, manifest: Manifest) -> None:
        """Move what a stage wrote to where `artifact` looks first, so that nothing is fetched."""
        # Another process may have put the same files there; its copy is as good.
        with suppress(OSError):
            out.rename(self._artifact(manifest))

    def checkpoints(self, identity: Identity) -> Path:
        """Return the folder of the checkpoints of a run."""
        folder = self.root / "checkpoints" / identity.key
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def scratch(self, identity: Identity) -> Iterator[Path]:
        """Yield an empty folder for one run; the lock of its key must be held."""
        folder = self.root / "work" / f"{identity.stage.value}-{identity.key}"
        # What a killed process left.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, identity: Identity, *, stop: StopFlag) -> Iterator[None]:
        """Hold the key of a run on this machine; another process that holds it is waited for.

        Raises:
            Interrupted: `stop` was set while waiting.
        """
        with (self.root / "locks" / identity.key).open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    stop.check()
                    time.sleep(_LOCK_SECONDS)
            # Closing the file gives the lock back, also when the process is killed.
            yield

    def _artifact(self, manifest: Manifest) -> Path:
        return self.root / "artifacts" / manifest.digest.replace(":", "-")
