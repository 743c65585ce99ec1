"""Helm, built before the first test that wants it."""

import sys
from pathlib import Path

import pytest

from hack.kind.build import CannotBuild, built
from tests.helm import Helm
from tests.machine import made

_BUILT: pytest.StashKey[Path | CannotBuild] = pytest.StashKey()
_HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Helm: no test's time limit is made for that."""
    if session.config.option.collectonly:
        return
    if not any(item.path.is_relative_to(_HERE) for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_BUILT] = built(["helm"], tell=_tell)["helm"]
        except CannotBuild as error:
            session.config.stash[_BUILT] = error


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    return Helm(made(pytestconfig.stash[_BUILT]), folder=tmp_path_factory.mktemp("helm"))
