"""Who reaches whom, where the cluster's network enforces NetworkPolicy: that of our own nodes does.

That everything meant to work does work under these policies is shown by every other test here.
"""

import pytest

from hack.kind.cluster import Cluster
from hack.kind.demo.objects import CLIENTS, SYSTEM, WORLD
from hack.kind.world.manifests import HTTPS_PORT, S3_PORT
from tests.cluster.product import Product
from tests.cluster.traffic import POD

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
_GIT = (f"git.{WORLD}.svc", HTTPS_PORT)
_STORE = (f"s3.{WORLD}.svc", S3_PORT)
_TRY = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).close()
except socket.gaierror as error:
    sys.exit(f"no such name: {error}")
except OSError:
    print("closed")
else:
    print("open")
"""


@pytest.fixture(scope="module")
def enforced(served: Product, kind: Cluster | None) -> Product:
    """The product on a network that holds to the policies, as ours must."""
    engine = served.engine_pod()["status"]["podIP"]
    if _reaches(served, engine, 8001, pod=POD, namespace=CLIENTS):
        assert kind is None, "a client reaches the operator's port of an engine"
        pytest.skip("this cluster's network enforces no NetworkPolicy")
    return served


def test_a_client_reaches_the_api_of_an_engine_and_nothing_else_of_it(enforced: Product) -> None:
    engine = enforced.engine_pod()["status"]["podIP"]
    assert _reaches(enforced, engine, 8000, pod=POD, namespace=CLIENTS)
    assert not _reaches(enforced, engine, 8001, pod=POD, namespace=CLIENTS)


def test_an_engine_reaches_the_store_and_no_repository(enforced: Product) -> None:
    # The client shows that the server is there.
    assert _reaches(enforced, *_GIT, pod=POD, namespace=CLIENTS)
    engine = enforced.engine_pod()["metadata"]["name"]
    for container in ("agent", "engine"):
        inside = {"pod": engine, "namespace": SYSTEM, "container": container}
        assert _reaches(enforced, *_STORE, **inside)
        assert not _reaches(enforced, *_GIT, **inside)


def test_the_operator_reaches_engines_and_store_and_no_repository(enforced: Product) -> None:
    wanted = "app.kubernetes.io/component=operator"
    [operator] = enforced.api.find_all("v1/pods", namespace=SYSTEM, labels=wanted)
    inside = {"pod": operator["metadata"]["name"], "namespace": SYSTEM}
    assert _reaches(enforced, enforced.engine_pod()["status"]["podIP"], 8001, **inside)
    assert _reaches(enforced, *_STORE, **inside)
    assert not _reaches(enforced, *_GIT, **inside)


def _reaches(
    product: Product, host: str, port: int, *, pod: str, namespace: str, container: str = ""
) -> bool:
    """Tell whether a Pod gets a connection to a port; a name that nobody knows is an error."""
    chosen = [f"--container={container}"] if container else []
    said = product.kubectl.run(
        *("exec", pod, *chosen, "--", "python3", "-c", _TRY, host, str(port)),
        namespace=namespace,
    )
    assert said.strip() in ("open", "closed"), said
    return said.strip() == "open"
