"""Reads one snapshot from a local folder: git's list in a work tree, a bounded walk elsewhere."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nanodex.api.code_expert import repository_name
from nanodex.api.reasons import Reason
from nanodex.errors import NanodexError, UserError
from nanodex.source.checkout import (
    DEFAULT_LIMITS,
    Checkout,
    SkippedFile,
    SourceFile,
    SourceLimits,
    read_regular,
)
from nanodex.source.failures import too_large
from nanodex.source.git import open_git
from nanodex.source.repository import require_files
from nanodex.source.selection import compile_selection, is_lfs_pointer, refusal, shown

# git's list of two million long paths.
_LIST_BYTES = 1 << 30


def open_folder(
    path: Path,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    limits: SourceLimits = DEFAULT_LIMITS,
) -> Checkout:
    """Return the files below `path`; nothing is copied.

    In a git work tree these are the tracked files and the untracked ones that are not ignored, as
    they are on the disk. Where git lists nothing (no work tree, or an ignored folder of one), every
    file below `path` counts, `.git` folders left out.

    Args:
        path: an existing folder.
        include: patterns as in a .gitignore at `path`; empty takes everything.
        exclude: patterns of what is left out.
        limits: what the folder may cost.

    Raises:
        UserError: no such folder, EmptySource, or more than the limits allow.
    """
    if not path.is_dir():
        raise UserError(
            f"{path} is not a folder",
            reason=Reason.INVALID_INPUT,
            hint="name the folder of a repository",
        )
    root = path.resolve()
    selection = compile_selection(include=include, exclude=exclude)
    commit, listed = _ask_git(root, limits=limits)
    entries = listed or _walk(root, limits=limits)
    files: list[SourceFile] = []
    skipped: list[SkippedFile] = []
    total = 0
    for count, raw in enumerate(entries, start=1):
        if count > limits.max_entries:
            raise too_large(f"{path} has more than {limits.max_entries} entries")
        name = shown(raw.rstrip(b"/"))
        if not selection.takes(name):
            continue
        entry = _inspect(root, raw, limits=limits)
        if isinstance(entry, SkippedFile):
            skipped.append(entry)
        elif entry is not None:
            files.append(entry)
            total += entry.size
        if len(files) > limits.max_files or total > limits.max_total_bytes:
            raise too_large(
                f"{path} has more than {limits.max_files} files or "
                f"{limits.max_total_bytes} bytes to learn"
            )
    require_files(files, skipped, where=str(path))
    return Checkout(
        root=root,
        repository=repository_name(root.name),
        commit=commit,
        files=tuple(sorted(files, key=lambda file: file.path)),
        skipped=tuple(sorted(skipped, key=lambda file: file.path)),
    )


def _ask_git(root: Path, *, limits: SourceLimits) -> tuple[str, list[bytes]]:
    """Return HEAD and git's list, relative to `root`; empty where git has no say."""
    with open_git("", credentials=None, timeout_seconds=limits.timeout_seconds) as git:
        try:
            listed = git.run(
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                work=root,
                max_bytes=_LIST_BYTES,
            )
        except NanodexError:
            return "", []
        try:
            head = git.run("rev-parse", "--verify", "--quiet", "HEAD", work=root, max_bytes=256)
        except NanodexError:
            head = b""  # a work tree before its first commit
    # A file in conflict is listed once for each side.
    paths = sorted(set(listed.split(b"\0")) - {b""})
    return (head.decode("ascii").strip() if paths else ""), paths


def _walk(root: Path, *, limits: SourceLimits) -> Iterator[bytes]:
    """Yield the paths below `root`, links not followed and `.git` left out."""
    deadline = time.monotonic() + limits.timeout_seconds
    folders = [b""]
    while folders:
        folder = folders.pop()
        if time.monotonic() > deadline:
            raise too_large(f"{root} could not be listed in {limits.timeout_seconds:.0f} seconds")
        try:
            with os.scandir(os.path.join(os.fsencode(root), folder)) as entries:
                listed = islice(entries, limits.max_entries + 1)
                found = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            yield folder + b"/"
            continue
        for entry in found:
            path = folder + b"/" + entry.name if folder else entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield path
            elif entry.name != b".git" and path.count(b"/") <= limits.max_depth:
                folders.append(path)


def _inspect(root: Path, raw: bytes, *, limits: SourceLimits) -> SourceFile | SkippedFile | None:
    """Decide about one path; None where it is listed but not on the disk any more."""
    path = shown(raw.rstrip(b"/"))
    if raw.endswith(b"/"):
        # git lists a repository inside a repository as a folder; the walk, what it may not read.
        inner = os.path.join(os.fsencode(root), raw)
        return SkippedFile(path, 0, "Submodule" if os.access(inner, os.R_OK) else "Unreadable")
    reason = refusal(raw, max_depth=limits.max_depth)
    if reason:
        return SkippedFile(path, 0, reason)
    try:
        status = os.lstat(root / path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return SkippedFile(path, 0, "Unreadable")
    if stat.S_ISLNK(status.st_mode):
        return SkippedFile(path, 0, "Symlink")
    if stat.S_ISDIR(status.st_mode):
        return SkippedFile(path, 0, "Submodule")
    if not stat.S_ISREG(status.st_mode):
        return SkippedFile(path, 0, "NotAFile")
    if status.st_size > limits.max_file_bytes:
        return SkippedFile(path, 0, "TooLarge")
    try:
        # A pointer is shorter than this; of a longer file only the start is read.
        if is_lfs_pointer(read_regular(root, path, limit=1024)):
            return SkippedFile(path, status.st_size, "LfsPointer")
    except OSError as error:
        behind_a_link = error.errno in {errno.ELOOP, errno.ENOTDIR}
        return SkippedFile(path, 0, "Symlink" if behind_a_link else "Unreadable")
    return SourceFile(path, status.st_size)
