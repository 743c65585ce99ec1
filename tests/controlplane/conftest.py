"""A real control plane, started once for all tests that want one, and the tools beside it."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hack.kind.build import BINARIES, CannotBuild, built
from tests.controlplane.api import Api
from tests.controlplane.plane import SERVERS, ControlPlane
from tests.machine import made

# A fixture of one of these names is the path of that binary.
TOOLS = frozenset({"helm", "kubeconform", "kubectl"})
_BUILT: pytest.StashKey[dict[str, Path] | CannotBuild] = pytest.StashKey()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen tests need: no test's time limit is made for that."""
    if session.config.option.collectonly:
        return
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    wanted = {*(fixtures & TOOLS), *(SERVERS if "control_plane" in fixtures else ())}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_BUILT] = built(
                [name for name in BINARIES if name in wanted], tell=_tell
            )
        except CannotBuild as error:
            session.config.stash[_BUILT] = error


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Mapping[str, Path]:
    """Where the binaries are that the chosen tests need."""
    return made(pytestconfig.stash[_BUILT])


@pytest.fixture(scope="session")
def helm(binaries: Mapping[str, Path]) -> Path:
    return binaries["helm"]


@pytest.fixture(scope="session")
def kubeconform(binaries: Mapping[str, Path]) -> Path:
    return binaries["kubeconform"]


@pytest.fixture(scope="session")
def kubectl(binaries: Mapping[str, Path]) -> Path:
    return binaries["kubectl"]


@pytest.fixture(scope="session")
def control_plane(
    binaries: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """One cluster without nodes for the whole session: a test has a namespace of its own in it."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), binaries=binaries)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(autouse=True)
def _no_other_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own kubeconfig from everything that looks for one."""
    monkeypatch.setenv("KUBECONFIG", os.devnull)


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    """The administrator's requests."""
    return control_plane.api


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own that refuses Pods which are not `restricted`."""
    name = control_plane.create_namespace(
        labels={"pod-security.kubernetes.io/enforce": "restricted"}
    )
    yield name
    control_plane.delete_namespace(name)
