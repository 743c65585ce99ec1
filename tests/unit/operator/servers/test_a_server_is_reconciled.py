"""One reconcile of a ModelServer on an API server in memory: what is asked, written and woken."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from nanodex_operator.kinds import (
    CODE_EXPERTS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    MODEL_SERVERS,
    PODS,
    SERVICES,
    Resource,
)
from nanodex_operator.manifests.metadata import SERVER_LABEL, SET_GENERATION_ANNOTATION
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.refusals import Conflict
from nanodex_operator.server_controller import ServerController
from nanodex_operator.snapshot import ReplicaReport
from nanodex_operator.watched import ExpertKey, Watched

from tests.unit.operator.memory_cluster import MemoryCluster
from tests.unit.operator.servers.conftest import SETTINGS

SYSTEM = SETTINGS.namespace
DIGEST, KEY = "sha256:" + "a" * 64, "b" * 64
BASE = {"uri": "bundled://smollm2-135m-instruct"}


class Agents:
    """What the agents say, and who was asked."""

    def __init__(self) -> None:
        self.says: dict[str, ReplicaReport] = {}
        self.asked: list[dict[str, str]] = []

    async def ask(self, addresses: Mapping[str, str]) -> tuple[ReplicaReport, ...]:
        self.asked.append(dict(addresses))
        return tuple(self.says[pod] for pod in addresses if pod in self.says)


class World:
    """A ModelServer `smol` and what is around it."""

    def __init__(self) -> None:
        self.cluster, self.watched, self.agents = MemoryCluster(), Watched(), Agents()
        self.woken: list[ExpertKey] = []
        self.leading = True
        self.now = 1000.0
        self.controller = ServerController(
            self.cluster,  # type: ignore[arg-type]
            agents=self.agents,  # type: ignore[arg-type]
            watched=self.watched,
            settings=SETTINGS,
            metrics=OperatorMetrics(),
            identity="operator-0",
            leading=lambda: self.leading,
            wake=self.woken.append,
            clock=lambda: self.now,
        )
        self.see({"metadata": {"name": "smol", "generation": 1}, "spec": {"baseModel": BASE}})

    def see(self, server: Any) -> None:
        self.watched.servers.put(self.cluster.put(MODEL_SERVERS, server, namespace=""))

    def bind(self, name: str = "payments") -> None:
        expert = {
            "metadata": {"name": name, "generation": 1},
            "spec": {
                "source": {"git": {"url": "https://git.example.com/acme/x.git"}},
                "baseModel": BASE,
            },
            "status": {
                "active": {"digest": DIGEST, "key": KEY, "baseModel": BASE["uri"]},
                "serving": {"server": "smol"},
            },
        }
        stored = self.cluster.put(CODE_EXPERTS, expert, namespace="team-a")
        self.watched.experts.put(stored)

    def run_pod(
        self,
        name: str = "ms-smol-0",
        *,
        ready: bool = True,
        containers_ready: bool | None = None,
        phase: str = "Running",
        address: str = "10.0.0.1",
    ) -> None:
        labels = {SERVER_LABEL: "smol", "app.kubernetes.io/component": "model-server"}
        said = {"Ready": ready, "ContainersReady": ready}
        if containers_ready is not None:
            said["ContainersReady"] = containers_ready
        conditions = [{"type": name, "status": str(value)} for name, value in said.items()]
        status = {"phase": phase, "podIP": address, "conditions": conditions}
        pod = {"metadata": {"name": name, "labels": labels}, "status": status}
        self.cluster.put(PODS, pod, namespace=SYSTEM)
        deployment = self.cluster.objects.get(("deployments", SYSTEM, "ms-smol"))
        if deployment is not None:
            deployment["metadata"]["generation"] = 1
            deployment["status"] = {
                "observedGeneration": 1,
                "replicas": 1,
                "readyReplicas": int(ready),
                "updatedReplicas": 1,
            }

    def stored(self, resource: Resource, name: str = "ms-smol") -> Any:
        return self.cluster.named(resource, name, namespace=SYSTEM)

    def desired(self) -> Any:
        return json.loads(self.stored(CONFIG_MAPS)["data"]["set.json"])

    def status(self) -> Any:
        return self.cluster.named(MODEL_SERVERS, "smol", namespace="")["status"]

    def writes(self) -> list[tuple[str, str]]:
        """What was written since the last look."""
        found = [(verb, plural) for verb, plural, _ in self.cluster.writes]
        self.cluster.calls.clear()
        return found


@pytest.fixture
def world() -> World:
    return World()


async def test_the_set_is_there_before_the_pods_that_mount_it(world: World) -> None:
    world.bind()

    assert await world.controller.reconcile("smol") == 2.0

    written = [what for what in world.writes() if what != ("create", "events")]
    assert written == [
        ("apply", "configmaps"),
        ("apply", "networkpolicies"),
        ("apply", "services"),
        ("apply", "poddisruptionbudgets"),
        ("apply", "deployments"),
        ("update", "modelservers"),
    ]
    assert [one["name"] for one in world.desired()["experts"]] == ["team-a/payments"]
    assert world.status()["setGeneration"] == world.desired()["generation"] == 1


async def test_what_did_not_change_is_not_written_again_but_put_right_in_the_end(
    world: World,
) -> None:
    await world.controller.reconcile("smol")
    await world.controller.reconcile("smol")
    world.writes()

    await world.controller.reconcile("smol")
    assert world.writes() == []

    world.now += 301
    await world.controller.reconcile("smol")
    assert len(world.writes()) == 5


async def test_a_deployment_that_somebody_deleted_is_made_again(world: World) -> None:
    await world.controller.reconcile("smol")
    del world.cluster.objects["deployments", SYSTEM, "ms-smol"]

    await world.controller.reconcile("smol")

    assert world.stored(DEPLOYMENTS)


async def test_ready_pods_alone_are_asked_and_what_they_say_wakes_the_experts(
    world: World,
) -> None:
    world.bind()
    await world.controller.reconcile("smol")
    world.run_pod()
    world.run_pod("ms-smol-1", ready=False, address="10.0.0.2")
    world.agents.says["ms-smol-0"] = ReplicaReport(
        pod="ms-smol-0", set_generation=1, loaded=frozenset({DIGEST})
    )
    world.woken.clear()

    await world.controller.reconcile("smol")

    assert world.agents.asked[-1] == {"ms-smol-0": "10.0.0.1"}
    assert world.watched.reports["smol"] == (world.agents.says["ms-smol-0"],)
    assert ExpertKey("team-a", "payments") in world.woken
    world.woken.clear()
    await world.controller.reconcile("smol")
    assert world.woken == []


async def test_a_pod_that_has_not_seen_the_set_is_told_once(world: World) -> None:
    await world.controller.reconcile("smol")
    world.run_pod()
    world.agents.says["ms-smol-0"] = ReplicaReport(pod="ms-smol-0", set_generation=0)
    world.writes()

    for _ in range(2):
        await world.controller.reconcile("smol")

    assert world.writes().count(("patch", "pods")) == 1
    assert world.stored(PODS, "ms-smol-0")["metadata"]["annotations"] == {
        SET_GENERATION_ANNOTATION: "1"
    }


async def test_the_only_replica_stays_published_while_its_engine_starts_and_not_when_it_goes(
    world: World,
) -> None:
    async def published() -> Any:
        await world.controller.reconcile("smol")
        return world.stored(SERVICES)["spec"]["publishNotReadyAddresses"]

    assert await published() is False
    world.run_pod()
    assert await published() is True
    world.run_pod(ready=False)
    assert await published() is True

    # Another one comes: its address is known before anybody listens there.
    world.run_pod("ms-smol-1", ready=False)
    assert await published() is False
    del world.cluster.objects["pods", SYSTEM, "ms-smol-1"]
    assert await published() is True

    # What Kubernetes says while it hears nothing of the node.
    world.run_pod(ready=False, containers_ready=True)
    assert await published() is False
    world.run_pod()
    world.cluster.objects["pods", SYSTEM, "ms-smol-0"]["metadata"]["deletionTimestamp"] = "now"
    assert await published() is False


async def test_a_pod_that_ended_is_no_second_replica(world: World) -> None:
    await world.controller.reconcile("smol")
    world.run_pod()
    world.run_pod("ms-smol-1", ready=False, phase="Failed")

    await world.controller.reconcile("smol")

    assert world.stored(SERVICES)["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("late", [{"observedGeneration": 0}, {"updatedReplicas": 0}])
async def test_the_pod_of_the_template_before_is_not_the_only_replica(
    world: World, late: dict[str, int]
) -> None:
    await world.controller.reconcile("smol")
    world.run_pod()
    world.cluster.objects["deployments", SYSTEM, "ms-smol"]["status"] |= late

    await world.controller.reconcile("smol")

    assert world.stored(SERVICES)["spec"]["publishNotReadyAddresses"] is False


@pytest.mark.parametrize("change", [{"engine": {"maxModelLen": 1024}}, {"replicas": 2}])
async def test_before_another_replica_is_made_the_only_one_is_published_like_any(
    world: World, change: dict[str, Any]
) -> None:
    await world.controller.reconcile("smol")
    world.run_pod()
    await world.controller.reconcile("smol")
    spec = {"baseModel": BASE} | change
    world.see({"metadata": {"name": "smol", "generation": 2}, "spec": spec})
    seen: list[Any] = []

    def look(verb: str, resource: Resource, name: str) -> None:
        if resource is DEPLOYMENTS:
            seen.append(world.stored(SERVICES)["spec"]["publishNotReadyAddresses"])

    world.cluster.before_write = look
    await world.controller.reconcile("smol")

    assert seen == [False]


async def test_a_set_that_another_operator_has_written_is_not_overwritten(world: World) -> None:
    await world.controller.reconcile("smol")
    world.bind()

    def meanwhile(verb: str, resource: Resource, name: str) -> None:
        if resource is CONFIG_MAPS:
            world.cluster.before_write = lambda *_: None
            world.cluster.put(CONFIG_MAPS, world.stored(CONFIG_MAPS), namespace=SYSTEM)

    world.cluster.before_write = meanwhile
    with pytest.raises(Conflict):
        await world.controller.reconcile("smol")

    assert "experts" not in world.desired()
    await world.controller.reconcile("smol")
    assert len(world.desired()["experts"]) == 1


async def test_a_replica_that_does_not_lead_writes_nothing(world: World) -> None:
    world.leading = False

    assert await world.controller.reconcile("smol") is None
    assert world.writes() == []


async def test_a_reconcile_that_hangs_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Mapping[str, str]) -> tuple[ReplicaReport, ...]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr("nanodex_operator.attempt.RECONCILE_SECONDS", 0.01)
    monkeypatch.setattr(world.agents, "ask", hang)
    with pytest.raises(TimeoutError):
        await world.controller.reconcile("smol")


async def test_a_server_that_is_gone_is_forgotten(world: World) -> None:
    await world.controller.reconcile("smol")
    uid = world.cluster.named(MODEL_SERVERS, "smol", namespace="")["metadata"]["uid"]
    world.watched.servers.drop(uid)

    assert await world.controller.reconcile("smol") is None
    assert world.watched.reports == {}
