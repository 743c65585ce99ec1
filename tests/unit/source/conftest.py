"""Real git repositories in a temporary folder."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunGit = Callable[..., str]


@pytest.fixture
def run_git() -> RunGit:
    """Run git with a fixed identity and clock, and without the machine's configuration."""

    def run(*arguments: str, cwd: Path, stdin: bytes = b"") -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
            "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
            "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, run_git: RunGit) -> Path:
    """A work tree with two commits, a branch, a light and an annotated tag."""
    root = tmp_path / "Pay ments.git"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "app.py").write_text("print('one')\n")
    (root / "src" / "deep" / "core.py").write_text("X = 1\n")
    (root / "docs").mkdir()
    (root / "docs" / "Überblick.md").write_text("# Überblick\n")
    run_git("init", "-q", "-b", "trunk", cwd=root)
    run_git("add", "-A", cwd=root)
    run_git("commit", "-q", "-m", "one", cwd=root)
    run_git("tag", "v1", cwd=root)
    run_git("tag", "-a", "-m", "first", "v1-annotated", cwd=root)
    (root / "src" / "app.py").write_text("print('two')\n")
    run_git("commit", "-q", "-a", "-m", "two", cwd=root)
    run_git("branch", "feature/x", cwd=root)
    return root
