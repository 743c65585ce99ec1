"""The files of an artifact on disk: which may be published, their digests, how they are written."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from nanodex.api.manifest import FileEntry
from nanodex.api.reasons import ExitCode, Reason
from nanodex.artifacts.store import CHUNK
from nanodex.errors import NotServable, TryAgain, UserError

# Formats that no usual reader executes. Tensors are safetensors: whatever unpickles stays out.
SAFE_SUFFIXES = frozenset(
    {".safetensors", ".json", ".jsonl", ".sqlite", ".md", ".txt", ".jinja", ".html"}
)


def scan(folder: Path) -> Iterator[FileEntry]:
    """Yield an entry for each file below `folder`, sorted by path.

    Raises:
        NotServable: a file has a format that may execute code when it is read.
        UserError: there is a link or a special file.
    """
    paths: list[str] = []
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(base, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                paths.append(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(mode):
                raise UserError(
                    f"{name} is a link or a special file",
                    reason=Reason.INVALID_INPUT,
                    hint="An artifact holds regular files only.",
                )
    for relative in sorted(paths):
        require_safe_format(relative)
        digest, size = digest_of(folder / relative)
        yield FileEntry(path=relative, sha256=digest, size=size)


def require_safe_format(path: str) -> None:
    """Refuse a file that may execute code when it is read.

    Raises:
        NotServable: the suffix of `path` is not in `SAFE_SUFFIXES`.
    """
    if PurePosixPath(path).suffix not in SAFE_SUFFIXES:
        raise NotServable(
            f"{path} may not be part of an artifact",
            reason=Reason.NOT_SERVABLE,
            hint="Tensors are published as .safetensors, the rest as JSON, text or SQLite: "
            "formats like .bin, .pt and .pkl run code when they are loaded.",
        )


def digest_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 (hexadecimal) and the size in bytes of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def write_verified(folder: Path, entry: FileEntry, chunks: Iterable[bytes], *, origin: str) -> None:
    """Write one file of a manifest below the empty or fresh `folder`, hashing while writing.

    Args:
        folder: where `entry.path` goes; nobody else writes there.
        entry: what the manifest says.
        chunks: the content, as the store gives it.
        origin: the object's address, for the error.

    Raises:
        TryAgain: DigestMismatch.
        NotServable: the format is not safe.
        UserError: the path leaves `folder` or clashes with another file.
    """
    target = _inside(folder, entry.path)
    digest, size = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise _unsafe_path(entry.path) from error
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > entry.size:
                break
            digest.update(chunk)
            file.write(chunk)
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise mismatch(entry.path, origin=origin)


def mismatch(path: str, *, origin: str) -> TryAgain:
    """Return the error for a file whose content is not what its manifest says."""
    return TryAgain(
        f"{path} in {origin} is not what its manifest says",
        reason=Reason.DIGEST_MISMATCH,
        hint="The store holds damaged or replaced bytes and they were not used. "
        "Discard the artifact; the stage then makes it again.",
        exit_code=ExitCode.DIGEST_MISMATCH,
    )


def _inside(folder: Path, path: str) -> Path:
    require_safe_format(path)
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path or "\\" in path:
        raise _unsafe_path(path)
    return folder.joinpath(*path.split("/"))


def _unsafe_path(path: str) -> UserError:
    return UserError(
        f"a manifest names the path {path!r}",
        reason=Reason.INVALID_INPUT,
        hint="nanodex writes no such manifest: find out who else writes to this store.",
    )
