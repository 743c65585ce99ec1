"""A control plane for the chart alone: what it installs belongs to a whole cluster."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from hack.kind.build import CannotBuild, Unreachable, cache_folder, find_go
from tests.controlplane.plane import ControlPlane
from tests.helm import Helm, Object
from tests.machine import made

# The module that publishes the CRDs of ServiceMonitor and PrometheusRule.
_PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.92.1"
_KINDS = ("servicemonitors", "prometheusrules")
_FETCHED: pytest.StashKey[list[Path] | CannotBuild] = pytest.StashKey()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what the chosen tests need: no test's time limit is made for that."""
    if session.config.option.collectonly:
        return
    if not any("monitoring_crds" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    try:
        session.config.stash[_FETCHED] = _fetched()
    except CannotBuild as error:
        session.config.stash[_FETCHED] = error


def _fetched() -> list[Path]:
    """Return files with the CRDs of the Prometheus operator, from its Go module.

    Raises:
        CannotBuild: they cannot be fetched from here.
    """
    folder = cache_folder(os.environ) / _PROMETHEUS_OPERATOR.rpartition("/")[2]
    files = [folder / f"monitoring.coreos.com_{name}.yaml" for name in _KINDS]
    if all(file.is_file() for file in files):
        return files
    print("Prometheus operator: fetching its CRDs", file=sys.stderr, flush=True)
    done = subprocess.run(
        [find_go(), "mod", "download", "-json", _PROMETHEUS_OPERATOR],
        # Outside of any module.
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unreachable(
            f"{_PROMETHEUS_OPERATOR}: {done.stdout}{done.stderr}",
            hint="is the network there, and does `go env GOPROXY` name a proxy that this machine "
            "can reach?",
        )
    source = Path(json.loads(done.stdout)["Dir"]) / "example/prometheus-operator-crd"
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        whole = file.with_suffix(f".{os.getpid()}")
        whole.write_bytes((source / file.name).read_bytes())
        whole.rename(file)
    return files


@pytest.fixture(scope="session")
def monitoring_crds(pytestconfig: pytest.Config) -> list[Object]:
    """The CRDs of ServiceMonitor and PrometheusRule, as the Prometheus operator has them."""
    found = made(pytestconfig.stash[_FETCHED])
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in found]


@pytest.fixture(scope="session")
def control_plane(
    binaries: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A cluster of its own: other tests install the CRDs in other ways."""
    plane = ControlPlane(tmp_path_factory.mktemp("chart-plane"), binaries=binaries)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def helm(helm: Path, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, as the administrator of the cluster."""
    folder = tmp_path_factory.mktemp("helm")
    return Helm(helm, folder=folder, kubeconfig=control_plane.kubeconfig)
