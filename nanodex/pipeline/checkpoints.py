"""Keeps a running stage's checkpoints and progress in the store, so that another machine can go on.

A checkpoint is a folder `step-N` of plain files; the stage writes `complete.json` into it last. The
mirror keeps that order, so a checkpoint in the store is complete or has no marker. What the files
hold and whether they fit the run is verified by the stage that reads them (SHA-256 in the marker).
"""

import logging
import re
import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from nanodex.api.identity import Identity
from nanodex.api.progress import ProgressReport
from nanodex.artifacts import ObjectStore
from nanodex.artifacts.files import digest_of, require_safe_format
from nanodex.artifacts.layout import checkpoints_prefix, progress_name
from nanodex.errors import NanodexError

MARKER = "complete.json"
_STEP = re.compile(r"step-(\d{1,12})")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_INTERVAL_SECONDS = 5.0
_KEPT = 2
# Folder of links to what is being copied.
_HELD = ".held-"

_log = logging.getLogger(__name__)


def restore(identity: Identity, *, store: ObjectStore, folder: Path) -> Path | None:
    """Bring the newest complete checkpoint of a run into `folder`, unless a newer one is there.

    Returns:
        The checkpoint's folder, None where there is none.

    Raises:
        NotServable: the checkpoint holds a format that may execute code when it is read.
        TryAgain: the store is away.
    """
    prefix = checkpoints_prefix(scope=identity.scope, key=identity.key)
    remote = _remote_steps(store, prefix)
    complete = [step for step, names in remote.items() if MARKER in names]
    local = _newest_local(folder)
    newest = max(complete, key=_number, default=None)
    if newest is None or (local is not None and _number(local.name) >= _number(newest)):
        return local
    target = folder / newest
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in sorted(remote[newest], key=lambda name: (name == MARKER, name)):
        require_safe_format(name)
        with (target / name).open("xb") as file:
            for chunk in store.stream(f"{prefix}{newest}/{name}"):
                file.write(chunk)
    return target


def clear(identity: Identity, *, store: ObjectStore, folder: Path) -> None:
    """Delete the checkpoints and progress of a run that is committed; markers go first."""
    shutil.rmtree(folder, ignore_errors=True)
    prefix = checkpoints_prefix(scope=identity.scope, key=identity.key)
    names = [info.name for info in store.entries(prefix)]
    for name in sorted(names, key=lambda name: not name.endswith(f"/{MARKER}")):
        store.delete(name)
    store.delete(progress_name(scope=identity.scope, key=identity.key))


class Mirror:
    """Context manager that copies new checkpoints and the latest report to the store.

    Works in a thread: a store that is away for a while delays the copy, never the training. A stage
    that saves faster than the store takes removes what is being copied, so the copy is made of
    links to its files. When it ends, what is new is copied once more; a failure is logged: the
    stage's own outcome counts.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        store: ObjectStore,
        folder: Path,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._store = store
        self._folder = folder
        self._interval = interval_seconds
        self._prefix = checkpoints_prefix(scope=identity.scope, key=identity.key)
        self._progress = progress_name(scope=identity.scope, key=identity.key)
        self._report: ProgressReport | None = None
        self._done = threading.Event()
        self._succeeded = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def show(self, report: ProgressReport) -> None:
        """Take the report that is copied next."""
        self._report = report

    def __enter__(self) -> "Mirror":
        for left in self._folder.glob(f"{_HELD}*"):
            # Of a process that was killed.
            shutil.rmtree(left, ignore_errors=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After success the artifact is published and checkpoints are of no use.
        self._succeeded = kind is None
        self._done.set()
        self._thread.join()
        if not self._succeeded:
            self._copy()

    def _work(self) -> None:
        while not self._done.wait(self._interval):
            self._copy()

    def _copy(self) -> None:
        try:
            self._copy_report()
            self._copy_checkpoint()
        except FileNotFoundError:
            # The stage removed it for a newer one, which the next round copies.
            _log.debug("a checkpoint went away before it was copied")
        except (NanodexError, OSError) as error:
            _log.warning("checkpoint not copied to the store: %s", error)

    def _copy_report(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            self._store.write(self._progress, report.model_dump_json().encode())

    def _copy_checkpoint(self) -> None:
        newest = _newest_local(self._folder)
        if newest is None:
            return
        remote = _remote_steps(self._store, self._prefix)
        if MARKER in remote.get(newest.name, ()):
            return
        with tempfile.TemporaryDirectory(prefix=_HELD, dir=self._folder) as held:
            for file in _linked(newest, Path(held)):
                if not self._is_wanted(newest.name):
                    return
                require_safe_format(file.name)
                digest, _ = digest_of(file)
                self._store.upload(f"{self._prefix}{newest.name}/{file.name}", file, sha256=digest)
        _log.info("checkpoint %s is in the store", newest.name)
        older = sorted((step for step in remote if step != newest.name), key=_number)
        for step in older[: max(0, len(older) - _KEPT + 1)]:
            for name in sorted(remote[step], key=lambda name: name != MARKER):
                self._store.delete(f"{self._prefix}{step}/{name}")

    def _is_wanted(self, step: str) -> bool:
        """Tell whether it is worth the wait to copy a checkpoint to its end."""
        if not self._done.is_set():
            return True
        newest = _newest_local(self._folder)
        return not self._succeeded and newest is not None and newest.name == step


def _newest_local(folder: Path) -> Path | None:
    steps = [
        path
        for path in folder.iterdir()
        if _STEP.fullmatch(path.name) and not path.is_symlink() and (path / MARKER).is_file()
    ]
    return max(steps, key=lambda path: _number(path.name), default=None)


def _linked(checkpoint: Path, folder: Path) -> list[Path]:
    """Return links in `folder` to the files of a checkpoint, its marker last.

    Raises:
        FileNotFoundError: the stage is about to remove it.
    """
    files = sorted(checkpoint.iterdir(), key=lambda file: (file.name == MARKER, file.name))
    for file in files:
        try:
            (folder / file.name).hardlink_to(file)
        except FileNotFoundError:
            raise
        except OSError:
            # A file system without links.
            shutil.copyfile(file, folder / file.name)
    if MARKER not in [file.name for file in files]:
        raise FileNotFoundError(checkpoint / MARKER)
    return [folder / file.name for file in files]


def _remote_steps(store: ObjectStore, prefix: str) -> dict[str, set[str]]:
    """Return the names of the files of each step; names that nanodex does not write are ignored."""
    steps: dict[str, set[str]] = {}
    for info in store.entries(prefix):
        step, _, name = info.name.removeprefix(prefix).partition("/")
        if _STEP.fullmatch(step) and _FILE.fullmatch(name):
            steps.setdefault(step, set()).add(name)
    return steps


def _number(step: str) -> int:
    return int(step.removeprefix("step-"))
