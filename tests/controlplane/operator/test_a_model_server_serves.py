"""A ModelServer from `apply` to deletion: its children, its set, and when a public name moves.

The operator, the API server and its controllers are real; a node plays the Pods, and each Pod has a
stand-in for its agent. The tests run in the order in which they stand here.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nanodex.api.desired import DesiredSet, ServedExpert
from tests.controlplane.agents import StandInAgent, read_set
from tests.controlplane.api import Object
from tests.controlplane.node import Node
from tests.controlplane.operator.world import World
from tests.controlplane.outcome import Outcome

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]

SERVERS = "nanodex.dev/v1alpha1/modelservers"
NAME = "shared"
BASE = {"uri": "hf://acme/shared-base"}
OTHER_BASE = {"uri": "hf://acme/closed-base"}
CHILDREN = (
    "v1/configmaps",
    "v1/services",
    "apps/v1/deployments",
    "policy/v1/poddisruptionbudgets",
    "networking.k8s.io/v1/networkpolicies",
)


def build_server(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "nanodex.dev/v1alpha1",
        "kind": "ModelServer",
        "metadata": {"name": name},
        "spec": {"baseModel": BASE, "replicas": 2} | spec,
    }


@dataclass(frozen=True)
class Serving:
    """A ModelServer, its Pods' agents, and the world that it is in."""

    world: World
    agents: list[StandInAgent]

    @property
    def system(self) -> str:
        """The operator's namespace, where the children live."""
        return self.world.release.namespace

    def child(self, resource: str) -> Object | None:
        return self.world.api.find(resource, f"ms-{NAME}", namespace=self.system)

    def desired(self) -> DesiredSet:
        return read_set(self.child("v1/configmaps"))

    def versions(self, expert: str) -> dict[str, bool]:
        """Digests of an expert in the set, and whether the bare name means them."""
        name = f"{self.world.namespace}/{expert}"
        return {one.digest: one.active for one in self.desired().experts if one.name == name}

    def entry(self, expert: str) -> ServedExpert:
        [found] = [one for one in self.desired().experts if one.name.endswith(f"/{expert}")]
        return found

    def status(self) -> Object:
        status: Object = self.world.api.get(SERVERS, NAME).get("status", {})
        return status

    def served(self, expert: str) -> Object:
        """What the ModelServer's status says of an expert."""
        name = f"{self.world.namespace}/{expert}"
        adapters = self.status().get("adapters", [])
        return next((one for one in adapters if one["expert"] == name), {})

    def active(self, expert: str) -> str:
        digest: str = self.world.status(expert).get("active", {}).get("digest", "")
        return digest

    def loaded(self, expert: str) -> str:
        loaded: str = self.world.status(expert).get("serving", {}).get("loaded", "")
        return loaded


@pytest.fixture(scope="module")
def serving(world: World) -> Iterator[Serving]:
    system = world.release.namespace
    with contextlib.ExitStack() as stack:

        def mounted() -> DesiredSet:
            return read_set(world.api.find("v1/configmaps", f"ms-{NAME}", namespace=system))

        node = stack.enter_context(Node(world.plane.kubeconfig, namespaces=[system]))
        agents = [
            stack.enter_context(StandInAgent(mounted, base_model=BASE["uri"])) for _ in range(4)
        ]
        # The latest word counts: the first Pod gets the first agent.
        for agent in reversed(agents):
            node.script(Outcome(address=agent.address), times=1)
        world.api.apply(SERVERS, build_server(NAME))
        yield Serving(world, agents)
        for name in (NAME, "closed"):
            world.api.delete(SERVERS, name)


@pytest.fixture(scope="module", autouse=True)
def begun(world: World, serving: Serving) -> None:
    """All that is trained by these tests, applied at once."""
    for name in ("first", "second", "stays"):
        world.create(name, baseModel=BASE, serving={"enabled": True})
    world.create("outside", baseModel=OTHER_BASE, serving={"enabled": True})


def test_its_children_appear_and_belong_to_it(serving: Serving) -> None:
    world = serving.world
    owner = world.api.get(SERVERS, NAME)["metadata"]["uid"]
    for resource in CHILDREN:
        child = world.until(lambda resource=resource: serving.child(resource))
        assert [one["uid"] for one in child["metadata"]["ownerReferences"]] == [owner], resource

    world.until(lambda: serving.status().get("readyReplicas") == 2)
    status = serving.status()
    assert status["url"] == f"http://ms-{NAME}.{serving.system}.svc:8000/v1"
    pods = world.api.find_all("v1/pods", namespace=serving.system, labels=status["selector"])
    assert len(pods) == 2
    assert all(pod["spec"]["automountServiceAccountToken"] is False for pod in pods)


def test_an_expert_is_ready_when_every_ready_replica_holds_its_adapter(serving: Serving) -> None:
    world = serving.world

    expert = world.until_ready("first")

    digest = expert["status"]["active"]["digest"]
    assert expert["status"]["serving"] == {
        "server": NAME,
        "model": f"{world.namespace}/first",
        "url": serving.status()["url"],
        "loaded": "2/2",
    } | {key: "" for key in ("nextServer",) if key in expert["status"]["serving"]}
    world.until(lambda: serving.versions("first") == {digest: True})
    assert serving.entry("first").commit == expert["status"]["active"]["commit"]
    world.until(lambda: serving.served("first").get("loaded") == "2/2")


def test_a_name_moves_only_when_the_last_replica_has_the_new_version(serving: Serving) -> None:
    world = serving.world
    before = world.until_ready("first")["status"]["active"]["digest"]
    slow = serving.agents[1]
    slow.lags.set()

    world.edit("first", training={"epochs": 7})
    world.until(lambda: len(serving.versions("first")) == 2)
    new = next(digest for digest in serving.versions("first") if digest != before)
    # The other replica has it; that is not enough.
    world.until(lambda: world.status("first").get("phase") == "Loading")
    world.settle("first")
    assert serving.versions("first") == {before: True, new: False}
    assert serving.active("first") == before
    assert world.condition("first", "Ready")["status"] == "True"

    slow.lags.clear()
    world.until(lambda: serving.active("first") == new)
    # Then the old one is wanted no more: agents unload it when its last answer is given.
    world.until(lambda: serving.versions("first") == {new: True})


def test_a_pin_brings_the_old_version_back_and_its_removal_the_new_one(serving: Serving) -> None:
    world = serving.world
    status = world.until_ready("first")["status"]
    new, old = status["active"]["digest"], status["history"][0]["digest"]

    world.edit("first", serving={"pin": old})
    world.until(lambda: serving.active("first") == old)
    world.until(lambda: serving.versions("first") == {old: True})

    world.edit("first", serving={"pin": ""})
    world.until(lambda: serving.active("first") == new)


def test_a_version_that_a_replica_refuses_never_answers_and_says_why(serving: Serving) -> None:
    world = serving.world
    before = world.until_ready("second")["status"]["active"]["digest"]
    for agent in serving.agents:
        agent.lags.set()
    world.edit("second", training={"epochs": 9})
    world.until(lambda: len(serving.versions("second")) == 2)
    bad = next(digest for digest in serving.versions("second") if digest != before)
    serving.agents[0].refused.add(bad)
    for agent in serving.agents:
        agent.lags.clear()

    stalled = world.until_stalled("second", "LoadRejected")
    assert "not those that training saw" in stalled["message"]
    assert serving.active("second") == before
    assert world.until_ready("stays")["status"]["serving"]["loaded"] == "2/2"


def test_scaling_by_the_scale_subresource_brings_replicas_that_count(serving: Serving) -> None:
    world = serving.world
    world.until_ready("stays")

    def scaled(replicas: int) -> None:
        spec = {"spec": {"replicas": replicas}}
        world.api.patch(SERVERS, NAME, spec, subresource="scale")
        world.until(lambda: serving.status().get("readyReplicas") == replicas)
        world.until(lambda: serving.loaded("stays") == f"{replicas}/{replicas}")

    def waits_at_the_agent() -> bool:
        service = serving.child("v1/services")
        return service is not None and bool(service["spec"].get("publishNotReadyAddresses"))

    assert not waits_at_the_agent()
    scaled(1)
    world.until(waits_at_the_agent)
    scaled(3)
    assert not waits_at_the_agent()

    scale = world.api.get(SERVERS, f"{NAME}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)


def test_while_the_operator_is_down_nothing_changes_and_then_it_goes_on(serving: Serving) -> None:
    world = serving.world
    before = serving.desired()
    world.operator.kill()
    world.edit("stays", serving={"enabled": False})
    assert serving.desired() == before

    world.operator.start()
    world.operator.wait_until_leading()

    world.until(lambda: serving.versions("stays") == {})
    assert serving.desired().generation > before.generation


def test_a_namespace_that_is_not_allowed_is_not_served_until_it_is(serving: Serving) -> None:
    world = serving.world
    closed = build_server(
        "closed",
        baseModel=OTHER_BASE,
        replicas=1,
        allowedNamespaces={"selector": {"matchLabels": {"experts": "yes"}}},
    )
    world.api.apply(SERVERS, closed)
    stalled = world.until_stalled("outside", "NoServer")
    assert "closed" in stalled["message"]
    config_map = world.until(
        lambda: world.api.find("v1/configmaps", "ms-closed", namespace=serving.system)
    )
    assert read_set(config_map).experts == ()

    labels = {"metadata": {"labels": {"experts": "yes"}}}
    world.api.patch("v1/namespaces", world.namespace, labels)

    world.until(
        lambda: (
            read_set(world.api.get("v1/configmaps", "ms-closed", namespace=serving.system)).experts
        )
    )


def test_an_expert_that_is_deleted_leaves_the_set(serving: Serving) -> None:
    world = serving.world
    assert serving.versions("first")

    world.delete("first")

    world.until(lambda: world.nothing_is_left("first"))
    world.until(lambda: serving.versions("first") == {})
    world.until(lambda: serving.served("first") == {})


def test_a_server_that_is_deleted_takes_its_children_along(serving: Serving) -> None:
    world = serving.world
    selector = serving.status()["selector"]

    world.api.delete(SERVERS, NAME)

    for resource in CHILDREN:
        world.until(lambda resource=resource: serving.child(resource) is None)
    world.until(
        lambda: not world.api.find_all("v1/pods", namespace=serving.system, labels=selector)
    )
    stalled = world.until_stalled("second", "NoServer")
    assert BASE["uri"] in stalled["message"]
