"""`kubectl nanodex` as a person runs it: kubectl finds the plugin, the API server is a real one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.crds import code_expert_crd
from tests.controlplane.api import Api, add_definitions, remove_definitions
from tests.controlplane.plane import ControlPlane
from tests.resources import EXPERT, changed

pytestmark = pytest.mark.controlplane

EXPERTS = "nanodex.dev/v1alpha1/codeexperts"
NEW, OLD = ("sha256:" + digit * 64 for digit in "ab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def definition(control_plane: ControlPlane) -> Iterator[None]:
    api, crd = control_plane.api, code_expert_crd()
    add_definitions(api, crd)
    yield
    remove_definitions(api, crd["metadata"]["name"])


@pytest.fixture
def run(tmp_path: Path, kubectl: Path, control_plane: ControlPlane, definition: None) -> Run:
    """Runs `kubectl nanodex` as an administrator, or as the user of another kubeconfig."""
    plugin = tmp_path / "kubectl-nanodex"
    program = "from nanodex.cli.plugin import main; main()"
    plugin.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{program}' \"$@\"\n")
    plugin.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(kubectl.parent), os.environ["PATH"]])

    def run(*words: str, kubeconfig: Path | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "PATH": path,
            "KUBECONFIG": str(kubeconfig or control_plane.kubeconfig),
            "COLUMNS": "200",
        }
        return subprocess.run(
            [str(kubectl), "nanodex", *words],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def expert(api: Api, namespace: str, definition: None) -> Any:
    """An expert whose new adapter waits for a person, and whose training has failed since."""
    changes = {"metadata.namespace": namespace, "spec.evaluation": {"promotion": "Manual"}}
    made = api.create(EXPERTS, changed(EXPERT, changes), namespace=namespace)
    base = {"baseModel": made["spec"]["baseModel"]["uri"]}
    status = {
        "phase": "Failed",
        "stages": [
            {
                "name": "train",
                "state": "Failed",
                "job": "ce-payments-api-train-00",
                "failure": {"reason": "OOMKilled", "hint": "raise memory"},
            }
        ],
        "active": {"digest": OLD, **base},
        "candidate": {"digest": NEW, **base},
        "history": [{"digest": "sha256:" + "c" * 64, **base}],
    }
    return api.patch(
        EXPERTS, "payments-api", {"status": status}, namespace=namespace, subresource="status"
    )


def spec_of(api: Api, namespace: str) -> Any:
    return api.get(EXPERTS, "payments-api", namespace=namespace)["spec"]


def test_what_the_api_server_keeps_is_shown(run: Run, namespace: str, expert: Any) -> None:
    shown = run("status", "payments-api", "-n", namespace)
    assert shown.returncode == 0, shown.stderr
    assert "OOMKilled. raise memory" in shown.stdout
    listed = json.loads(run("status", "-A", "-o", "json").stdout)
    assert listed[f"{namespace}/payments-api"]["candidate"]["digest"] == NEW


def test_promote_and_rollback_write_a_pin_that_the_api_server_takes(
    run: Run, api: Api, namespace: str, expert: Any
) -> None:
    done = run("promote", f"{namespace}/payments-api")
    assert done.returncode == 0, done.stderr
    assert spec_of(api, namespace)["serving"]["pin"] == NEW

    done = run("rollback", "payments-api", "--namespace", namespace)
    assert done.returncode == 0, done.stderr
    assert spec_of(api, namespace)["serving"]["pin"] == "sha256:" + "c" * 64


def test_retry_writes_a_nonce_and_nothing_else(
    run: Run, api: Api, namespace: str, expert: Any
) -> None:
    before = spec_of(api, namespace)
    assert run("retry", "payments-api", "-n", namespace).returncode == 0
    after = spec_of(api, namespace)
    assert after.pop("retryNonce") != before.pop("retryNonce")
    assert after == before


def test_whoever_may_not_is_told_so(
    run: Run, control_plane: ControlPlane, namespace: str, expert: Any
) -> None:
    nobody = control_plane.user_kubeconfig("nobody")
    done = run("promote", "payments-api", "-n", namespace, kubeconfig=nobody)
    assert done.returncode == 13, done.stderr
    assert 'User "nobody" cannot get resource "codeexperts"' in " ".join(done.stderr.split())
    missing = run("promote", "other", "-n", namespace)
    assert (missing.returncode, "not found" in missing.stderr) == (10, True)
