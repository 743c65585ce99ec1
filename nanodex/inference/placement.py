"""One immutable folder for each digest: where the engine reads adapters from.

vLLM reads an adapter again whenever it evicted it: a folder that is gone by then takes the whole
server down, and changed files are served without a word. So files are copied and verified once,
made read-only, and removed only when no engine can know them any more.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nanodex.api.desired import ServedExpert
from nanodex.api.keys import canonical_json
from nanodex.api.manifest import FileEntry
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NotServable, TryAgain
from nanodex.inference.adapter_files import SERVED_FILES, check_listing

_MAX_FILE_BYTES = 8 << 30
_CHUNK = 1 << 20
# The train artifact keeps the adapter in this folder.
ARTIFACT_FOLDER = "adapter/"
_PLACING = ".placing-"


def placed_folder(root: Path, expert: ServedExpert) -> Path:
    """The folder that holds this version once it is placed."""
    return root / expert.digest.replace(":", "-")


def place(expert: ServedExpert, *, source: Path, root: Path) -> Path:
    """Copy the adapter into its own read-only folder below `root`, verifying every byte on the way.

    Args:
        expert: which version.
        source: folder that holds its files.
        root: where placed folders are kept.

    Returns:
        The folder; the same one for the same digest, without copying again.

    Raises:
        TryAgain: a file does not have the SHA-256 that the manifest gives.
        NotServable: a file is missing, not plain or too large, or a pickle lies beside it.
    """
    folder = placed_folder(root, expert)
    if folder.is_dir():
        return folder
    # Pickles would not be copied; that they are there is reason enough.
    check_listing(source)
    expected = _expected(expert)
    temporary = temporary_folder(root)
    try:
        for name in SERVED_FILES:
            digest = _copy(source / name, temporary / name)
            if expected and digest != expected.get(name):
                raise _mismatch(f"{name} of {expert.pinned_name}")
        publish_placed(temporary, folder)
    except BaseException:
        discard(temporary)
        raise
    return folder


def publish_placed(temporary: Path, folder: Path) -> None:
    """Make `temporary`, a folder with verified files, the placed `folder`, read-only."""
    for path in temporary.iterdir():
        path.chmod(0o444)
    # A folder that may not be written cannot be moved out of its parent.
    os.replace(temporary, folder)
    folder.chmod(0o555)


def temporary_folder(root: Path) -> Path:
    """Return a new empty folder below `root` for files that are on their way."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=root, prefix=_PLACING))


def discard(folder: Path) -> None:
    """Remove a folder that was placed or is on its way; one that is gone is no error."""
    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(0o700)
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def remove_placed(root: Path, *, keep: Iterable[Path]) -> None:
    """Remove all placed folders but `keep`. Only while no engine runs."""
    kept = set(keep)
    if root.is_dir():
        for folder in root.iterdir():
            if folder not in kept:
                discard(folder)


def _expected(expert: ServedExpert) -> dict[str, str]:
    """SHA-256 of each adapter file by name, out of a manifest whose own digest was checked."""
    if not expert.files:
        return {}
    files: list[FileEntry] = sorted(expert.files, key=lambda entry: entry.path)
    listing = canonical_json([entry.model_dump(mode="json") for entry in files])
    if "sha256:" + hashlib.sha256(listing).hexdigest() != expert.digest:
        raise _mismatch(f"the list of files of {expert.pinned_name}")
    return {entry.path.removeprefix(ARTIFACT_FOLDER): entry.sha256 for entry in files}


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    copied = 0
    try:
        # O_NOFOLLOW and O_NONBLOCK: neither a link nor a pipe can be put in the place of a file.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as reader, target.open("xb") as writer:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("not a plain file")
            while chunk := reader.read(_CHUNK):
                copied += len(chunk)
                if copied > _MAX_FILE_BYTES:
                    raise OSError(f"larger than {_MAX_FILE_BYTES} bytes")
                digest.update(chunk)
                writer.write(chunk)
    except OSError as error:
        raise NotServable(
            f"{source.name} cannot be placed: {error}",
            reason=Reason.NOT_SERVABLE,
            hint="give the adapter folder that training wrote",
        ) from error
    return digest.hexdigest()


def _mismatch(what: str) -> TryAgain:
    return TryAgain(
        f"{what} does not match its SHA-256",
        reason=Reason.DIGEST_MISMATCH,
        hint="the artifact was changed after it was published: fetch or train it again",
        exit_code=ExitCode.DIGEST_MISMATCH,
    )
