"""A real cluster for all tests that want one, and what surrounds nanodex in it.

By default it is kind on this machine: the cluster that `make kind-up` made. `make test-cluster` and
`make test-everything` make one where there is none, and remove it at the end; `make test` goes
without, for that takes longer than all other tests. NANODEX_TEST_KUBECONFIG names any other; its
context says by its name that the tests may do there what they like, and NANODEX_TEST_IMAGES the
registry that its nodes pull from.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.debian import Lacks
from hack.images.catalog import REGISTRY, ROOT, version
from hack.images.tool import BuildFailed
from hack.kind.build import CannotBuild, built
from hack.kind.cluster import DEFAULT_NAME, Cluster, Failed, product_images
from hack.kind.cluster import kubeconfig as kubeconfig_of
from hack.kind.demo.objects import TEAM
from hack.kind.loading import load_missing
from hack.kind.provider import find_provider
from hack.kind.world.images import git_image, store_image
from hack.kind.world.repository import bundle_of_sample
from tests.cluster.faults import Faults
from tests.cluster.kubectl import Kubectl
from tests.cluster.product import Product, artifacts, foreign_operators
from tests.cluster.world import OTHER_TEAM, World
from tests.controlplane.api import Api
from tests.controlplane.kubeconfig import checked_kubeconfig
from tests.helm import Helm
from tests.machine import made

KUBECONFIG_VARIABLE = "NANODEX_TEST_KUBECONFIG"
IMAGES_VARIABLE = "NANODEX_TEST_IMAGES"
KEPT = ROOT / ".cache" / "cluster"
_FAULTS: pytest.StashKey[Faults] = pytest.StashKey()
_PREPARED: pytest.StashKey["Prepared | Exception"] = pytest.StashKey()


class NoCluster(Exception):
    """There is none, and none is to be made."""


@dataclass(frozen=True)
class Prepared:
    """A cluster that is there.

    Attributes:
        kubeconfig: the way into it.
        kind: it, where it is kind's on this machine.
        made: whether it was made for the tests, and goes with them.
    """

    kubeconfig: Path
    kind: Cluster | None = None
    made: bool = False


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the cluster that the chosen tests need: no test's time limit is made for that."""
    wanted = any("kubeconfig" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not wanted:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.config.stash[_PREPARED] = _prepare(
                make=session.config.option.markexpr == "cluster"
            )
        except (Lacks, BuildFailed, CannotBuild, Failed, NoCluster) as error:
            session.config.stash[_PREPARED] = error


def _prepare(*, make: bool) -> Prepared:
    if named := os.environ.get(KUBECONFIG_VARIABLE):
        checked_kubeconfig(Path(named))
        return Prepared(Path(named))
    if not make and not kubeconfig_of(DEFAULT_NAME).exists():
        raise NoCluster(
            f"there is no cluster: `make kind-up`, or name one in {KUBECONFIG_VARIABLE}"
        )
    provider = find_provider(tell=_tell)
    cluster = Cluster(DEFAULT_NAME, provider=provider, tell=_tell)
    made = not cluster.exists()
    if made:
        cluster.up(nodes=2)
    surroundings = [store_image(provider.tool), git_image(provider.tool, tell=_tell)]
    wanted = [*product_images(provider.tool), *surroundings]
    load_missing(cluster, wanted)
    return Prepared(kubeconfig_of(DEFAULT_NAME), kind=cluster, made=made)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the cluster that was made for the tests."""
    prepared = session.config.stash.get(_PREPARED, None)
    if isinstance(prepared, Prepared) and prepared.made and prepared.kind:
        prepared.kind.down()


def _prepared(pytestconfig: pytest.Config) -> Prepared:
    found = pytestconfig.stash[_PREPARED]
    if isinstance(found, NoCluster):
        pytest.skip(str(found))
    return made(found)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def kubeconfig(pytestconfig: pytest.Config) -> Path:
    """The way into the cluster."""
    return _prepared(pytestconfig).kubeconfig


@pytest.fixture(scope="session")
def kind(pytestconfig: pytest.Config) -> Cluster | None:
    """The cluster, where this machine holds its nodes."""
    return _prepared(pytestconfig).kind


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


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> Faults:
    """The table of what each fault cost."""
    return pytestconfig.stash.setdefault(_FAULTS, Faults())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table, and keep it."""
    found = config.stash.get(_FAULTS, None)
    if found is None or not found.rows:
        return
    terminalreporter.section("what each fault cost")
    terminalreporter.write(found.table())
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "faults.txt").write_text(found.table(), encoding="utf-8")


@pytest.fixture(scope="session")
def product(
    world: World, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """The release, with a ModelServer and an expert at which nobody has looked yet."""
    if places := foreign_operators(world.api):
        pytest.fail(f"an operator is at work in {', '.join(places)}: uninstall it first")
    binaries = built(["helm", "kubectl"])
    product = Product(
        world,
        helm=Helm(binaries["helm"], folder=tmp_path_factory.mktemp("helm"), kubeconfig=kubeconfig),
        kubectl=Kubectl(binaries["kubectl"], kubeconfig=kubeconfig),
        registry=os.environ.get(IMAGES_VARIABLE, REGISTRY),
    )
    try:
        product.build()
        product.want("parcelry", namespace=TEAM, quick=False)
        yield product
        artifacts(KEPT, product)
    finally:
        # What the demo made is the demo's.
        if not world.adopted:
            product.remove()


@pytest.fixture(scope="session")
def served(product: Product) -> Product:
    """The product, once two experts answer and somebody asks one of them without a pause."""
    # One after the other: a node with two cores has no room for the stages of both.
    product.until(lambda: product.is_ready(TEAM), seconds=2400)
    product.want("parcelry", namespace=OTHER_TEAM)
    product.until(lambda: product.is_ready(OTHER_TEAM), seconds=2400)
    product.begin_traffic()
    return product
