"""A repository that is read over ssh, with a key and the server's own key known."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cluster.product import EXPERTS, Product
from tests.cluster.ssh import public
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
_SECRET = "git-over-ssh"
_EXPERT = "over-ssh"


@pytest.fixture
def expert(served: Product) -> Iterator[str]:
    """The name of an expert that goes when the test is over."""
    if served.world.adopted:
        pytest.skip("the git server of the demo answers https alone")
    yield _EXPERT
    served.drop(_EXPERT, namespace=OTHER_TEAM)


def _want(served: Product, *, host_key: str = "") -> None:
    world = served.world
    world.apply(world.ssh_secret(_SECRET, namespace=OTHER_TEAM, host_key=host_key))
    source = {"url": world.ssh_repository("parcelry"), "secretRef": {"name": _SECRET}}
    # Nothing new is learned: only how the source is reached differs.
    served.want(_EXPERT, namespace=OTHER_TEAM, git=source)


def test_a_stranger_in_the_servers_place_is_given_nothing_and_the_server_is_read(
    served: Product, expert: str
) -> None:
    _want(served, host_key=public(Ed25519PrivateKey.generate()))

    def failure() -> dict[str, str]:
        return dict(served.stage(OTHER_TEAM, "resolve", expert).get("failure", {}))

    seen = served.until(lambda: failure() or None, seconds=180)
    assert seen["reason"] == "AuthenticationFailed"
    assert "known_hosts" in seen["message"] + seen.get("hint", "")

    _want(served)
    nonce = {"spec": {"retryNonce": "the right key"}}
    served.api.patch(EXPERTS, expert, nonce, namespace=OTHER_TEAM)

    def graph(name: str) -> str:
        artifact = served.stage(OTHER_TEAM, "extract", name).get("artifact", {})
        return str(artifact.get("digest", ""))

    assert served.until(lambda: graph(expert) or None, seconds=300) == graph("parcelry")
