"""The operator's surroundings, for tests of it as a process: CRDs, chart, store, a world each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.api import add_definitions
from tests.controlplane.operator.world import Surroundings, World
from tests.controlplane.operator_process import ROOT
from tests.controlplane.plane import ControlPlane
from tests.helm import Helm
from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crds(control_plane: ControlPlane) -> None:
    """The CRDs as they are released, served."""
    definitions = (yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml"))
    add_definitions(control_plane.api, *definitions)


@pytest.fixture(scope="module")
def surroundings(
    control_plane: ControlPlane,
    crds: None,
    helm: Path,
    s3_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Surroundings]:
    """Everything that is not a test's own; the store can be reached from this process, too."""
    folder = tmp_path_factory.mktemp("operators")
    shared = Surroundings(control_plane, Helm(helm, folder=folder), s3_server, folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared.s3_environment.items():
            patch.setenv(name, value)
        yield shared


@pytest.fixture(scope="module")
def world(surroundings: Surroundings) -> Iterator[World]:
    """A world with an operator at work; each test has CodeExperts of its own in it."""
    with surroundings.world() as made:
        yield made
