"""A real cluster for all tests that want one, and what surrounds nanodex in it.

By default it is kind on this machine: the cluster that `make kind-up` made, or one made now and
removed at the end. NANODEX_TEST_KUBECONFIG names any other; its context says by its name that the
tests may do there what they like, and NANODEX_TEST_IMAGES the registry that its nodes pull from.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.debian import Lacks
from hack.images.catalog import REGISTRY, version
from hack.images.tool import BuildFailed
from hack.kind.build import CannotBuild
from hack.kind.cluster import DEFAULT_NAME, Cluster, product_images
from hack.kind.cluster import kubeconfig as kubeconfig_of
from hack.kind.provider import find_provider
from hack.kind.world.images import git_image, store_image
from hack.kind.world.repository import bundle_of_sample
from tests.cluster.world import World
from tests.controlplane.api import Api
from tests.controlplane.kubeconfig import checked_kubeconfig
from tests.machine import made

KUBECONFIG_VARIABLE = "NANODEX_TEST_KUBECONFIG"
IMAGES_VARIABLE = "NANODEX_TEST_IMAGES"
_PREPARED: pytest.StashKey["Prepared | Exception"] = pytest.StashKey()


class Prepared:
    """A cluster that is there."""

    def __init__(self, kubeconfig: Path, *, made: Cluster | None = None) -> None:
        self.kubeconfig = kubeconfig
        # To be removed at the end.
        self.made = made


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the cluster that the chosen tests need: no test's time limit is made for that."""
    wanted = any("kubeconfig" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not wanted:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_PREPARED] = _prepare()
        except (Lacks, BuildFailed, CannotBuild) as error:
            session.config.stash[_PREPARED] = error


def _prepare() -> Prepared:
    if named := os.environ.get(KUBECONFIG_VARIABLE):
        checked_kubeconfig(Path(named))
        return Prepared(Path(named))
    provider = find_provider(tell=_tell)
    cluster = Cluster(DEFAULT_NAME, provider=provider, tell=_tell)
    made = not cluster.exists()
    if made:
        cluster.up(nodes=1)
        cluster.load(product_images(provider.tool))
    cluster.load([store_image(provider.tool), git_image(provider.tool, tell=_tell)])
    return Prepared(kubeconfig_of(DEFAULT_NAME), made=cluster if made else None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the cluster that was made for the tests."""
    prepared = session.config.stash.get(_PREPARED, None)
    if isinstance(prepared, Prepared) and prepared.made:
        prepared.made.down()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def kubeconfig(pytestconfig: pytest.Config) -> Path:
    """The way into the cluster."""
    return made(pytestconfig.stash[_PREPARED]).kubeconfig


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Api]:
    with Api(kubeconfig) as api:
        yield api


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The product's images by name, as the cluster knows them."""
    registry = os.environ.get(IMAGES_VARIABLE, REGISTRY)
    names = ("nanodex", "nanodex-operator", "nanodex-trainer", "nanodex-vllm-cpu")
    return {name: f"{registry}/{name}:{version()}" for name in names}


@pytest.fixture(scope="session")
def world(
    api: Api, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A store and a git server, and the sample repository on it."""
    bundle = bundle_of_sample(tmp_path_factory.mktemp("sample"))
    world = World(api, registry=os.environ.get(IMAGES_VARIABLE, REGISTRY), images=images)
    world.build(bundles={"parcelry": bundle})
    try:
        yield world
    finally:
        world.remove()
