"""The repository that clusters learn: config/samples/parcelry as one commit, always the same."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hack.images.catalog import ROOT

_SAMPLE = ROOT / "config" / "samples" / "parcelry"
_WHEN = "2026-01-01T00:00:00Z"


def bundle_of_sample(work: Path, *, changes: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """Return the sample as what `git bundle` writes.

    Args:
        work: Folder to work in.
        changes: What a second commit replaces, and by what, in files of the sample.
    """
    repository = work / "parcelry"
    shutil.copytree(_SAMPLE, repository, ignore=shutil.ignore_patterns("__pycache__"))
    git("init", "--quiet", "--initial-branch=main", repository=repository)
    commit(repository, "Parcel rates, quotes, labels")
    for name, (old, new) in (changes or {}).items():
        file = repository / name
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    if changes:
        commit(repository, "Change figures")
    return bundle(repository)


def commit(repository: Path, message: str) -> None:
    """Commit all files of a work tree, as somebody who is always the same."""
    who = ["-c", "user.name=parcelry", "-c", "user.email=parcelry@example.com"]
    git("add", "--all", repository=repository)
    git(*who, "commit", "--quiet", f"--message={message}", repository=repository)


def bundle(repository: Path) -> bytes:
    """Return the branch main as what `git bundle` writes."""
    file = repository.with_suffix(".bundle")
    git("bundle", "create", "--quiet", str(file), "main", "HEAD", repository=repository)
    return file.read_bytes()


def git(*arguments: str, repository: Path) -> str:
    """Run git without the user's configuration, and return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": _WHEN,
        "GIT_COMMITTER_DATE": _WHEN,
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
