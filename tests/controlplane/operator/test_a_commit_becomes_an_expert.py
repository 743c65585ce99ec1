"""From `kubectl apply` to Ready, what runs again after an edit, and which adapter answers."""

import time
from typing import Any

import pytest

from tests.controlplane.operator.world import STAGES, TASKS, World, keys_of, stage_of
from tests.controlplane.stage_work import FIRST_COMMIT

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]

SECOND_COMMIT = "2" * 40


def polled(name: str) -> dict[str, Any]:
    # The shortest interval that is honoured.
    return {"git": {"url": f"https://git.example.com/acme/{name}.git", "interval": "30s"}}


@pytest.fixture(scope="module", autouse=True)
def begun(world: World) -> None:
    """All CodeExperts of this module, applied at once: they wait for each other's Jobs little."""
    for name in ("fresh", "edited", "pinned"):
        world.create(name)
    world.create("promoted-by-hand", evaluation={"promotion": "Manual"})
    for name in ("same-commit", "new-commit"):
        world.create(name, source=polled(name))


def test_an_applied_expert_becomes_ready(world: World) -> None:
    expert = world.until_ready("fresh")

    status = expert["status"]
    assert world.work.tasks("fresh") == TASKS
    assert [entry["state"] for entry in status["stages"]] == ["Succeeded"] * 6
    assert status["source"]["commit"] == FIRST_COMMIT
    assert status["active"]["score"] == "0.7"
    assert world.condition("fresh", "Ready")["status"] == "True"
    # Events are said after the status was written.
    wanted = {"StageStarted", "StageSucceeded", "NewCommit", "Promoted"}
    world.until(lambda: wanted <= {event["reason"] for event in world.events("fresh")})


def test_nothing_but_its_status_is_touched(world: World) -> None:
    metadata = world.until_ready("fresh")["metadata"]

    assert "finalizers" not in metadata
    assert "annotations" not in metadata
    managers = {
        (entry["manager"], entry.get("subresource", "")) for entry in metadata["managedFields"]
    }
    assert managers == {("nanodex-test", ""), ("nanodex-operator", "status")}


def test_an_edit_of_training_runs_training_and_evaluation_again(world: World) -> None:
    before = keys_of(world.until_ready("edited"))

    world.edit("edited", training={"epochs": 7})
    expert = world.until_ready("edited")

    after = keys_of(expert)
    assert world.work.tasks("edited") == [*TASKS, "train", "evaluate"]
    assert {task for task in STAGES if after[task] != before[task]} == {"train", "evaluate"}
    assert [adapter["key"] for adapter in expert["status"]["history"]] == [before["train"]]


def test_an_edit_back_runs_nothing(world: World) -> None:
    world.until_ready("edited")
    world.edit("edited", training={"epochs": 7})
    world.until_ready("edited")
    done = len(world.work.tasks("edited"))

    world.edit("edited", training={"epochs": None})
    expert = world.until_ready("edited")

    assert len(world.work.tasks("edited")) == done
    assert expert["status"]["active"]["key"] == keys_of(expert)["train"]


def test_a_second_expert_on_the_same_code_takes_what_is_there(world: World) -> None:
    first = world.until_ready("fresh")

    world.create("second", source=first["spec"]["source"])
    expert = world.until_ready("second")

    assert world.work.tasks("second") == ["resolve"]
    states = {entry["name"]: entry["state"] for entry in expert["status"]["stages"]}
    assert states == {"resolve": "Succeeded"} | {stage: "Cached" for stage in STAGES}


def test_a_pin_brings_an_earlier_adapter_back(world: World) -> None:
    first = world.until_ready("pinned")["status"]["active"]["digest"]
    world.edit("pinned", training={"epochs": 5})
    second = world.until_ready("pinned")["status"]["active"]["digest"]
    done = world.work.tasks("pinned")
    assert second != first

    world.edit("pinned", serving={"pin": first})
    status = world.until_ready("pinned")["status"]
    assert status["active"]["digest"] == first
    assert second in [adapter["digest"] for adapter in status["history"]]

    world.edit("pinned", serving={"pin": ""})
    world.until(lambda: world.status("pinned")["active"]["digest"] == second)
    assert world.work.tasks("pinned") == done


def test_a_pin_that_is_unknown_says_where_to_look(world: World) -> None:
    active = world.until_ready("fresh")["status"]["active"]

    world.edit("fresh", serving={"pin": "sha256:" + "0" * 64})

    assert (
        "Take a digest from status.history"
        in world.until_stalled("fresh", "PinNotFound")["message"]
    )
    assert world.status("fresh")["active"] == active
    assert world.condition("fresh", "Ready")["status"] == "True"
    world.edit("fresh", serving={"pin": ""})
    world.until_ready("fresh")


def test_with_manual_promotion_a_person_decides_by_a_pin(world: World) -> None:
    name = "promoted-by-hand"
    world.until(lambda: world.condition(name, "Ready").get("reason") == "AwaitingPromotion")
    candidate = world.status(name)["candidate"]["digest"]
    assert "active" not in world.status(name)

    world.edit(name, serving={"pin": candidate})

    assert world.until_ready(name)["status"]["active"]["digest"] == candidate


def test_a_ref_is_polled_and_only_a_new_commit_is_learned(world: World) -> None:
    for name in ("same-commit", "new-commit"):
        world.until_ready(name)
    world.work.commits["new-commit"] = SECOND_COMMIT

    world.until(lambda: world.condition("new-commit", "SourceOutdated").get("status") == "True")
    outdated = world.status("new-commit")
    assert outdated["source"]["latestCommit"] == SECOND_COMMIT
    assert outdated["active"]["commit"] == FIRST_COMMIT
    assert world.condition("new-commit", "Ready")["status"] == "True"

    expert = world.until_ready("new-commit")
    assert expert["status"]["active"]["commit"] == SECOND_COMMIT
    assert "SourceOutdated" not in {one["type"] for one in expert["status"]["conditions"]}
    looks = world.work.tasks("new-commit").count("resolve") - 1
    assert looks >= 1
    assert [task for task in world.work.tasks("new-commit") if task != "resolve"] == STAGES * 2

    world.until(lambda: world.work.tasks("same-commit").count("resolve") >= 2)
    assert [task for task in world.work.tasks("same-commit") if task != "resolve"] == STAGES
    assert stage_of(world.until_ready("same-commit"), "extract")["state"] == "Succeeded"


def test_in_the_end_nobody_is_asked_anything(world: World) -> None:
    ready, polled = ("fresh", "edited", "pinned"), ("same-commit", "new-commit")
    for name in (*ready, *polled):
        world.until_ready(name)
    for name in polled:
        world.edit(name, suspend=True)
    world.settle(*ready, *polled)
    before = asked(world)

    time.sleep(8)

    assert asked(world) == before


def asked(world: World) -> dict[str, float]:
    """Return how often the API server and the store were asked, but for the lease."""
    names = ("nanodex_operator_api_requests_total", "nanodex_operator_store_requests_total")
    return {
        name: count
        for name, count in world.operator.metrics().items()
        if name.startswith(names) and "leases" not in name
    }
