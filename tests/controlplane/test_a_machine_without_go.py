"""Where the control plane cannot be built, its tests say why: skipped on a laptop, failed in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.controlplane

ROOT = Path(__file__).parents[2]


def outcome(tmp_path: Path, *, ci: str) -> str:
    """Return what pytest says of a test of the control plane where there is no Go."""
    test = "tests/controlplane/test_the_control_plane.py::test_it_is_the_kubernetes_of_go_mod"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        cwd=ROOT,
        env=os.environ
        | {
            "CI": ci,
            "PATH": str(tmp_path),
            "NANODEX_KUBERNETES_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(done.stdout.split())


def test_skips_on_a_laptop(tmp_path: Path) -> None:
    said = outcome(tmp_path, ci="")
    assert " 1 skipped in " in said
    assert "building Kubernetes needs Go 1.26, and PATH has no go hint: install Go 1.26" in said


def test_fails_in_ci(tmp_path: Path) -> None:
    said = outcome(tmp_path, ci="true")
    assert " 1 error in " in said
    assert "building Kubernetes needs Go 1.26, and PATH has no go hint: install Go 1.26" in said
