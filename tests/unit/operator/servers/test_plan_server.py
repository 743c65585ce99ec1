"""What one reconcile of a ModelServer does and says."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from nanodex_operator.manifests.model_server import read_desired_set
from nanodex_operator.servers import (
    ObservedDeployment,
    PublishedSet,
    ServerPlan,
    ServerSnapshot,
    plan_server,
)
from nanodex_operator.snapshot import ObservedPod, PodState

from nanodex.api.status import ConditionType, ModelServerStatus
from tests.unit.operator.servers.conftest import NOW, bound, digest, replica, snapshot
from tests.unit.operator.servers.test_desired_set import EXPERTS, REPLICAS


def condition(plan: ServerPlan, type_: ConditionType) -> tuple[str, str, str]:
    (only,) = [one for one in plan.status.conditions if one.type is type_]
    return only.status, only.reason, only.message


def applied(before: ServerSnapshot, plan: ServerPlan, **fields: Any) -> ServerSnapshot:
    """The world after a plan was done."""
    published = before.published
    for child in plan.children:
        if child["kind"] == "ConfigMap":
            published = PublishedSet(desired=read_desired_set(dict(child)), resource_version="2")
    return dataclasses.replace(before, status=plan.status, published=published, **fields)


def test_a_new_server_gets_all_its_children_the_set_first() -> None:
    plan = plan_server(snapshot(bound("a", active=1)))

    assert [child["kind"] for child in plan.children] == [
        "ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment",
    ]  # fmt: skip
    assert plan.status.set_generation == plan.set_generation == 1
    assert plan.status.url == "http://ms-smol.nanodex-system.svc:8000/v1"
    assert "nanodex.dev/server=smol" in plan.status.selector


@settings(deadline=None, max_examples=60)
@given(EXPERTS, REPLICAS)
def test_planning_again_after_it_was_done_changes_nothing(experts: Any, replicas: Any) -> None:
    world = snapshot(*experts, replicas=tuple(replicas))
    first = plan_server(world)
    world = applied(world, first)
    second = plan_server(world)
    world = applied(world, second, now=NOW + timedelta(minutes=5))

    third = plan_server(world)

    assert third.status == second.status
    assert third.set_generation == second.set_generation
    assert third.events == ()
    assert [c for c in third.children if c["kind"] != "ConfigMap"] == [
        c for c in first.children if c["kind"] != "ConfigMap"
    ]


def test_a_server_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    status = ModelServerStatus(set_generation=4)
    plan = plan_server(snapshot(bound("a", active=1), deleting=True, status=status))

    assert (plan.children, plan.status) == ((), status)


def test_what_is_loaded_where_is_told_by_expert_and_digest() -> None:
    plan = plan_server(
        snapshot(
            bound("a", active=1),
            bound("b", active=2),
            replicas=(
                replica("x", 1),
                replica("y", 1, refused={digest(2): ("LoadRejected", "differs by 0.5")}),
            ),
        )
    )

    told = {(one.expert, one.loaded, one.failure) for one in plan.status.adapters}
    assert told == {
        ("team/a", "2/2", ""),
        ("team/b", "0/2", "LoadRejected: y: differs by 0.5"),
    }
    assert condition(plan, ConditionType.ADAPTER_LOADED)[:2] == ("False", "SomeRefused")
    assert ("Warning", "LoadRejected") in {(one.kind, one.reason) for one in plan.events}


@pytest.mark.parametrize(
    ("wanted", "ready", "status", "reason"),
    [
        (2, 2, "True", "ReplicasReady"),
        (2, 1, "True", "ReplicasStarting"),
        (2, 0, "False", "ReplicasStarting"),
        (0, 0, "False", "NoReplicas"),
    ],
)
def test_readiness_follows_the_replicas(wanted: int, ready: int, status: str, reason: str) -> None:
    plan = plan_server(
        snapshot(
            spec={"replicas": wanted},
            deployment=ObservedDeployment(replicas=wanted, ready_replicas=ready),
        )
    )

    assert condition(plan, ConditionType.READY)[:2] == (status, reason)


def test_why_a_pod_does_not_start_is_said_on_the_server() -> None:
    pods = (ObservedPod(name="ms-smol-1", state=PodState.UNSCHEDULABLE, message="0/3 nodes"),)
    plan = plan_server(snapshot(pods=pods))

    assert "ms-smol-1: Unschedulable: 0/3 nodes" in condition(plan, ConditionType.READY)[2]


@pytest.mark.parametrize(
    ("spec", "settings_", "says"),
    [
        ({"baseModel": {"uri": "s3://bucket/model"}}, {}, "hf://OWNER"),
        ({"baseModel": {"uri": "pvc://claim/model"}}, {}, "hf://OWNER"),
        ({}, {"engine_image": ""}, "spec.engine.image"),
    ],
)
def test_a_server_that_cannot_be_started_says_what_to_do_and_starts_nothing(
    spec: dict[str, Any], settings_: dict[str, Any], says: str
) -> None:
    world = snapshot(spec=spec)
    world = dataclasses.replace(world, settings=world.settings.model_copy(update=settings_))
    plan = plan_server(world)

    assert plan.children == ()
    assert says in condition(plan, ConditionType.STALLED)[2]


def test_the_first_revision_that_is_found_is_the_one_all_later_replicas_serve() -> None:
    uri = "bundled://smollm2-135m-instruct"
    found = replica("x", base_model=uri, base_model_revision="abc")
    foreign = replica("z", base_model="hf://a/b", base_model_revision="def")
    world = snapshot(replicas=(found, foreign))
    first = plan_server(world)

    assert first.status.base_model.revision == "abc"
    assert read_desired_set(dict(first.children[0])).base_model_revision == "abc"
    later = dataclasses.replace(
        applied(world, first),
        replicas=(replica("y", base_model=uri, base_model_revision="other"),),
    )
    assert plan_server(later).status.base_model.revision == "abc"


def test_two_replicas_that_found_different_revisions_pin_none() -> None:
    uri = "bundled://smollm2-135m-instruct"
    world = snapshot(
        replicas=tuple(replica(pod, base_model=uri, base_model_revision=pod) for pod in ("x", "y"))
    )

    assert plan_server(world).status.base_model.revision == ""


def test_pods_that_have_not_seen_the_newest_set_are_to_be_notified() -> None:
    pods = tuple(ObservedPod(name=name, state=PodState.RUNNING) for name in ("x", "y", "z"))
    world = snapshot(
        bound("a", active=1),
        pods=(*pods, ObservedPod(name="w", state=PodState.PENDING)),
        replicas=(replica("x", generation=1), replica("y", generation=0)),
    )

    assert plan_server(world).notify == ("y", "z")


def test_while_something_is_on_its_way_the_agents_are_asked_again_soon() -> None:
    loading = plan_server(snapshot(bound("a", active=1), replicas=(replica("x"),)))
    settled = plan_server(snapshot(bound("a", active=1), replicas=(replica("x", 1),)))

    assert loading.again_after_seconds < 5 < settled.again_after_seconds


def test_a_name_moves_in_two_steps_with_no_replica_that_cannot_answer() -> None:
    replicas = (replica("x", 1), replica("y", 1))
    world = snapshot(bound("a", active=1, candidate=2), replicas=replicas)
    world = applied(world, plan_server(world))
    # The CodeExpert's own reconcile has seen both replicas with the new one; since then a third
    # replica became ready.
    moved = dataclasses.replace(
        world,
        experts=(bound("a", active=2),),
        replicas=(replica("x", 1, 2), replica("y", 1, 2), replica("z", 1)),
        deployment=ObservedDeployment(replicas=3, ready_replicas=3),
    )
    held = plan_server(moved)
    done = plan_server(
        dataclasses.replace(
            applied(moved, held),
            replicas=tuple(replica(pod, 1, 2) for pod in "xyz"),
        )
    )

    def alias(plan: ServerPlan) -> str:
        desired = read_desired_set(dict(plan.children[0]))
        return next(one.digest for one in desired.experts if one.active)

    assert (alias(held), alias(done)) == (digest(1), digest(2))
