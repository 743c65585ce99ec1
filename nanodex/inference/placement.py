"""One immutable folder for each digest: where the engine reads adapters from.

vLLM reads an adapter again whenever it evicted it: a folder that is gone by then takes the whole
server down, and changed files are served without a word. So files are copied and verified once,
made read-only, and removed only while no engine runs that could know them.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nanodex.api.keys import canonical_json
from nanodex.api.manifest import FileEntry
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NotServable, TryAgain
from nanodex.inference.adapter_files import SERVED_FILES, check_listing
from nanodex.inference.desired import ServedExpert

_MAX_FILE_BYTES = 8 << 30
_CHUNK = 1 << 20
# The train artifact keeps the adapter in this folder.
_ARTIFACT_FOLDER = "adapter/"


def placed_folder(root: Path, expert: ServedExpert) -> Path:
    """The folder that holds this version once it is placed."""
    return root / expert.digest.replace(":", "-")


def place(expert: ServedExpert, *, root: Path) -> Path:
    """Copy the adapter into its own read-only folder below `root`, verifying every byte on the way.

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
    check_listing(expert.folder)
    expected = _expected(expert)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=root, prefix=".placing-"))
    try:
        for name in SERVED_FILES:
            digest = _copy(expert.folder / name, temporary / name)
            if expected and digest != expected.get(name):
                raise _mismatch(f"{name} of {expert.pinned_name}")
        temporary.chmod(0o555)
        os.replace(temporary, folder)
    except BaseException:
        _remove(temporary)
        raise
    return folder


def remove_placed(root: Path, *, keep: Iterable[Path]) -> None:
    """Remove all placed folders but `keep`. Only while no engine runs."""
    kept = set(keep)
    if root.is_dir():
        for folder in root.iterdir():
            if folder not in kept:
                _remove(folder)


def _expected(expert: ServedExpert) -> dict[str, str]:
    """SHA-256 of each adapter file by name, out of a manifest whose own digest was checked."""
    if not expert.files:
        return {}
    files: list[FileEntry] = sorted(expert.files, key=lambda entry: entry.path)
    listing = canonical_json([entry.model_dump(mode="json") for entry in files])
    if "sha256:" + hashlib.sha256(listing).hexdigest() != expert.digest:
        raise _mismatch(f"the list of files of {expert.pinned_name}")
    return {entry.path.removeprefix(_ARTIFACT_FOLDER): entry.sha256 for entry in files}


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
    target.chmod(0o444)
    return digest.hexdigest()


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        folder.chmod(0o700)
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _mismatch(what: str) -> TryAgain:
    return TryAgain(
        f"{what} does not match its SHA-256",
        reason=Reason.DIGEST_MISMATCH,
        hint="the artifact was changed after it was published: fetch or train it again",
        exit_code=ExitCode.DIGEST_MISMATCH,
    )
