"""The files of a repository as plain data: what was taken, what was left out, how to read it.

Everything downstream works on a `Checkout`, whether it came from a git server or from a folder, so
the rules for reading files of a stranger live here once.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.errors import UserError


@dataclass(frozen=True)
class SourceFile:
    """A regular file that was taken.

    Attributes:
        path: POSIX path relative to the root; valid UTF-8, printable, without `..` and `.git`.
        size: bytes.
    """

    path: str
    size: int


@dataclass(frozen=True)
class SkippedFile:
    """A file that was left out; for reports, never to be opened.

    Attributes:
        path: like that of a file, but with backslash escapes where the name is not printable.
        size: bytes; 0 where the content is not fetched (links, submodules, files over the limit).
        reason: Symlink, Submodule, NotAFile, TooLarge, LfsPointer, UnsafePath, PathTooLong,
            TooDeep, NotUtf8, PathConflict or Unreadable.
    """

    path: str
    size: int
    reason: str


@dataclass(frozen=True)
class SourceLimits:
    """How much a repository may ask of this machine.

    Attributes:
        max_files: files taken; more are refused.
        max_entries: entries listed before include and exclude; more are refused.
        max_file_bytes: larger files are skipped.
        max_total_bytes: bytes of all files taken; more are refused.
        max_fetch_bytes: bytes that git may store while it fetches; more are refused.
        max_depth: folders above a file; deeper files are skipped.
        timeout_seconds: wall seconds of one whole fetch or listing.
    """

    max_files: int = 200_000
    max_entries: int = 2_000_000
    max_file_bytes: int = 1 << 26
    max_total_bytes: int = 1 << 33
    max_fetch_bytes: int = 1 << 34
    max_depth: int = 64
    timeout_seconds: float = 1800.0


DEFAULT_LIMITS = SourceLimits()


@dataclass(frozen=True)
class Checkout:
    """The files of one snapshot.

    Attributes:
        root: folder that the paths are relative to: the root of the repository, also with subPath.
        repository: short name of the repository, in [A-Za-z0-9._-].
        commit: full commit id; empty for a folder that is not a git work tree.
        files: what was taken, sorted by path.
        skipped: what was left out and why, sorted by path. Files that include and exclude leave out
            are in neither, so a change of such a file changes nothing.
    """

    root: Path
    repository: str
    commit: str
    files: tuple[SourceFile, ...]
    skipped: tuple[SkippedFile, ...]

    def read(self, file: SourceFile) -> bytes:
        """Return the content of `file` without following a symbolic link anywhere below the root.

        Raises:
            UserError: the file is gone, is no regular file, lies behind a link or has changed.
        """
        try:
            content = read_regular(self.root, file.path, limit=file.size)
        except OSError as error:
            raise UserError(
                f"cannot read {file.path}: {error.strerror}",
                reason=Reason.INVALID_INPUT,
                hint="do not change the folder while it is read",
            ) from error
        if len(content) != file.size:
            raise UserError(
                f"{file.path} changed while it was read",
                reason=Reason.INVALID_INPUT,
                hint="do not change the folder while it is read",
            )
        return content


def read_regular(root: Path, path: str, *, limit: int) -> bytes:
    """Return at most `limit + 1` bytes of a regular file below `root`.

    Every component is opened relative to the one before it and never through a symbolic link, so
    neither a link in the repository nor one that is swapped in during the read can lead outside.

    Raises:
        OSError: no such file, a link on the way, or not a regular file.
    """
    *folders, name = path.split("/")
    if not name or any(part in {"", ".", ".."} for part in [*folders, name]):
        raise FileNotFoundError(2, "not a relative path below the root", path)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(22, "not a regular file", path)
        return stream.read(limit + 1)
