"""Where an adapter's files come from: a folder of this machine, or the store of a cluster."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from nanodex.api.desired import ServedExpert
from nanodex.api.manifest import FileEntry, Manifest
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, find
from nanodex.artifacts.files import mismatch, require_safe_format, write_verified
from nanodex.artifacts.layout import blob_name
from nanodex.artifacts.store import ObjectMissing
from nanodex.errors import NanodexError, NotServable, TryAgain
from nanodex.inference.adapter_files import SERVED_FILES
from nanodex.inference.placement import (
    ARTIFACT_FOLDER,
    discard,
    place,
    placed_folder,
    publish_placed,
    temporary_folder,
)
from nanodex.inference.shelf import Shelf

log = logging.getLogger(__name__)

_FETCHES_AT_ONCE = 2
# After a failure that may pass: 5 s, then twice as long each time.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 120.0
_Result = TypeVar("_Result")


class AdapterSource(Protocol):
    """Puts the files of a version where the engine reads them."""

    async def obtain(self, expert: ServedExpert) -> Path | None:
        """Return the placed folder; None: it is on its way, ask again later.

        Raises:
            NotServable: it will never be servable.
            TryAgain: not now.
        """

    def in_use(self, folders: Iterable[Path]) -> None:
        """Take note of the folders that the engine may read."""


class FolderSource:
    """Copies from the folder that the desired set names."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def obtain(self, expert: ServedExpert) -> Path | None:
        """Copy and verify; returns when it is done."""
        if expert.folder is None:
            raise NotServable(
                f"{expert.pinned_name} has no folder on this machine",
                reason=Reason.NOT_SERVABLE,
                hint="serve it with nanodex serve, which fetches it first",
            )
        return await asyncio.to_thread(place, expert, source=expert.folder, root=self._root)

    def in_use(self, folders: Iterable[Path]) -> None:
        """Nothing is removed while an engine runs."""


class StoreSource:
    """Fetches from the store in the background, so that a store that is away blocks nothing.

    Args:
        store: where the artifacts are.
        shelf: where the files go.
        on_done: called on the event loop when a fetch ended, well or not.
    """

    def __init__(self, store: ObjectStore, *, shelf: Shelf, on_done: Callable[[], None]) -> None:
        self._store = store
        self._shelf = shelf
        self._on_done = on_done
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, _Failure] = {}

    async def obtain(self, expert: ServedExpert) -> Path | None:
        """Return the folder if it is here, else see to it that it comes."""
        folder = placed_folder(self._shelf.root, expert)
        if folder.is_dir():
            self._shelf.touch(folder, now=time.monotonic())
            return folder
        fetch = self._fetches.get(expert.digest)
        if fetch is not None and not fetch.done():
            return None
        failure = self._failures.get(expert.digest)
        if failure is not None and time.monotonic() < failure.again_at:
            raise failure.error
        if sum(not fetch.done() for fetch in self._fetches.values()) < _FETCHES_AT_ONCE:
            self._fetches[expert.digest] = asyncio.create_task(self._fetch(expert))
        return None

    def in_use(self, folders: Iterable[Path]) -> None:
        """Keep these, whatever room is needed."""
        self._shelf.in_use(folders, now=time.monotonic())

    @property
    def busy(self) -> bool:
        """Whether something is being fetched."""
        return bool(self._fetches)

    async def aclose(self) -> None:
        """Give up all fetches."""
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)

    async def _fetch(self, expert: ServedExpert) -> None:
        started = time.monotonic()
        try:
            await self._place(expert)
        except NanodexError as error:
            before = self._failures.get(expert.digest)
            self._failures[expert.digest] = _Failure(error, before=before)
            log.warning("cannot fetch %s: %s", expert.pinned_name, error.message)
        else:
            self._failures.pop(expert.digest, None)
            log.info("fetched %s in %.1f s", expert.pinned_name, time.monotonic() - started)
        finally:
            self._fetches.pop(expert.digest, None)
            self._on_done()

    async def _place(self, expert: ServedExpert) -> None:
        manifest = await _in_thread(lambda: _manifest(expert, store=self._store))
        entries = _served_entries(manifest)
        size = sum(entry.size for entry in entries)
        self._shelf.reserve(size)
        temporary = temporary_folder(self._shelf.root)
        try:
            await _in_thread(
                lambda: _download(entries, manifest=manifest, store=self._store, folder=temporary)
            )
            publish_placed(temporary / ARTIFACT_FOLDER, placed_folder(self._shelf.root, expert))
        finally:
            discard(temporary)
            self._shelf.release(size)


class _Failure:
    """Why a fetch failed, and when it is worth another try."""

    def __init__(self, error: NanodexError, *, before: "_Failure | None") -> None:
        self.error = error
        doubled = before.pause * 2 if before is not None else _FIRST_PAUSE_SECONDS
        self.pause: float = min(_LONGEST_PAUSE_SECONDS, doubled)
        self.again_at = time.monotonic() + self.pause


def _manifest(expert: ServedExpert, *, store: ObjectStore) -> Manifest:
    manifest = find(store, scope=expert.scope, stage=StageName.TRAIN, key=expert.key)
    if manifest is None:
        raise TryAgain(
            f"{store.uri} has no artifact of {expert.pinned_name}",
            reason=Reason.ARTIFACT_MISSING,
            hint="server and Jobs must use the same store; was the artifact deleted?",
        )
    if manifest.digest != expert.digest:
        raise TryAgain(
            f"the artifact of {expert.pinned_name} in {store.uri} has another digest",
            reason=Reason.DIGEST_MISMATCH,
            hint="it was deleted and trained again: promote the new one",
            exit_code=ExitCode.DIGEST_MISMATCH,
        )
    return manifest


def _served_entries(manifest: Manifest) -> tuple[FileEntry, ...]:
    """The files that the engine sees.

    Raises:
        NotServable: one is missing, or the artifact holds a format that executes code.
    """
    for entry in manifest.files:
        require_safe_format(entry.path)
    by_path = {entry.path: entry for entry in manifest.files}
    missing = [name for name in SERVED_FILES if ARTIFACT_FOLDER + name not in by_path]
    if missing:
        raise NotServable(
            f"the artifact holds no {', '.join(missing)}",
            reason=Reason.NOT_SERVABLE,
            hint="train the adapter with nanodex, which writes what the server can load",
        )
    return tuple(by_path[ARTIFACT_FOLDER + name] for name in SERVED_FILES)


def _download(
    entries: tuple[FileEntry, ...], *, manifest: Manifest, store: ObjectStore, folder: Path
) -> None:
    for entry in entries:
        name = blob_name(scope=manifest.scope, sha256=entry.sha256)
        origin = f"{store.uri}/{name}"
        try:
            write_verified(folder, entry, store.stream(name), origin=origin)
        except ObjectMissing:
            raise mismatch(entry.path, origin=origin) from None


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Run `work` in a thread that does not keep the process from ending: a store may hang."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        # The loop is closed when the process is ending.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True, name="nanodex-fetch").start()
    return await done
