"""A store in a local folder: temporary file, fsync, then a rename or a hard link decides."""

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from nanodex.api.reasons import ExitCode, Reason
from nanodex.artifacts.store import CHUNK, ObjectInfo, ObjectMissing, changed_while_read
from nanodex.errors import NanodexError, TryAgain, UserError

_INCOMING = ".incoming"
_STALE_SECONDS = 24 * 3600
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class FolderStore:
    """Objects as files below `root`.

    Safe for processes that share the folder. A temporary file lies in `root/.incoming` and becomes
    an object by `os.replace`, or by `os.link`, which fails where the name is taken.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        with _explained(self.root):
            (self.root / _INCOMING).mkdir(parents=True, exist_ok=True)
            self._sweep()

    @property
    def uri(self) -> str:
        """`file://` and the folder."""
        return self.root.as_uri()

    def read(self, name: str, *, limit: int) -> bytes:
        """Return a whole object, see `ObjectStore.read`."""
        with self._open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise UserError(
                f"{name} is larger than {limit} bytes",
                reason=Reason.INVALID_INPUT,
                hint="It was not written by nanodex; remove it.",
            )
        return data

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield an object in chunks."""
        with self._open(name) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def write(self, name: str, data: bytes) -> None:
        """Create or replace an object."""
        with self._incoming() as (file, temporary):
            file.write(data)
            self._replace(file, temporary, name)

    def write_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object unless there is one; True for exactly one of concurrent callers."""
        with self._incoming() as (file, temporary):
            file.write(data)
            target = self._prepare(file, name)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise _without_links(self.root) from error
                raise
            _sync_folder(target.parent)
            return True

    def upload(self, name: str, path: Path, *, sha256: str) -> None:
        """Create or replace an object from a file with this SHA-256."""
        digest = hashlib.sha256()
        with path.open("rb") as source, self._incoming() as (file, temporary):
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != sha256:
                raise changed_while_read(path)
            self._replace(file, temporary, name)

    def info(self, name: str) -> ObjectInfo | None:
        """Return size and time of an object."""
        with _explained(self.root):
            try:
                status = self._path(name).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return _info(name, status)

    def entries(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix`, which ends with a slash, sorted by name."""
        found: list[ObjectInfo] = []
        for folder, _, files in os.walk(self._path(prefix.rstrip("/"))):
            for file in files:
                path = Path(folder, file)
                # An object may be deleted between the listing and this look.
                with suppress(FileNotFoundError):
                    found.append(_info(path.relative_to(self.root).as_posix(), path.lstat()))
        yield from sorted(found)

    def delete(self, name: str) -> None:
        """Remove an object. Its folder stays: a writer may be about to link into it."""
        with _explained(self.root), suppress(NotADirectoryError):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if any(part in ("", ".", "..", _INCOMING) or "\0" in part for part in parts):
            raise UserError(
                f"{name!r} is not the name of an object",
                reason=Reason.INVALID_INPUT,
                hint="Names come from nanodex.artifacts.layout.",
            )
        return self.root.joinpath(*parts)

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        with _explained(self.root):
            try:
                descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW)
            except (FileNotFoundError, NotADirectoryError):
                raise ObjectMissing(name) from None
            with os.fdopen(descriptor, "rb") as file:
                yield file

    @contextmanager
    def _incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        with _explained(self.root):
            # Not mkstemp: it hides the file from everybody else, and the object would stay hidden.
            temporary = self.root / _INCOMING / uuid.uuid4().hex
            try:
                with temporary.open("xb") as file:
                    yield file, temporary
            finally:
                temporary.unlink(missing_ok=True)

    def _prepare(self, file: BinaryIO, name: str) -> Path:
        target = self._path(name)
        file.flush()
        os.fsync(file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _replace(self, file: BinaryIO, temporary: Path, name: str) -> None:
        target = self._prepare(file, name)
        os.replace(temporary, target)
        _sync_folder(target.parent)

    def _sweep(self) -> None:
        # What a killed process left behind; a live upload is never a day old.
        for entry in (self.root / _INCOMING).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - entry.lstat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Turn what the operating system says into an error with a hint."""
    try:
        yield
    except NanodexError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE):
            raise TryAgain(
                f"the store {root} failed: {error.strerror}",
                reason=Reason.STORE_UNAVAILABLE,
                hint="Free some space on its disk, then run the same command again.",
                exit_code=ExitCode.STORE_UNAVAILABLE,
            ) from error
        raise UserError(
            f"the store {root} cannot be used: {error.strerror}",
            reason=Reason.INVALID_INPUT,
            hint="Name a folder that you may write to.",
        ) from error


def _info(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _without_links(root: Path) -> UserError:
    return UserError(
        f"the file system of {root} has no hard links, so two writers could overwrite each other",
        reason=Reason.STORE_WITHOUT_CONDITIONAL_WRITES,
        hint="Use a folder on a local disk, or an S3 store.",
    )
