"""What a CodeExpert made goes with it, in every phase, with and without an operator."""

import threading

import pytest

from nanodex.api.stages import StageName
from nanodex.artifacts import list_manifests, open_store
from tests.controlplane.operator.world import STAGES, TASKS, Surroundings, World
from tests.controlplane.outcome import Outcome

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]


def at(task: str) -> str:
    """Return the name of the CodeExpert that is at work on a task for ever."""
    return f"at-{task}"


@pytest.fixture(scope="module")
def gate() -> threading.Event:
    """Is set when a training may end that is under way while no operator runs."""
    return threading.Event()


@pytest.fixture(scope="module", autouse=True)
def begun(world: World, gate: threading.Event) -> None:
    """All CodeExperts of this module, applied at once: they wait for each other's Jobs little."""
    for task in TASKS:
        world.node.script(Outcome(until=threading.Event()), stage=task, expert=at(task))
        world.create(at(task))
    world.node.script(Outcome(exit_code=12), stage="extract", expert="failed")
    world.create("failed")
    world.create("suspended", suspend=True)
    world.create("kept")
    world.create("removed", artifacts={"deletionPolicy": "Delete"})
    world.create("anew")
    how = Outcome(until=gate, work=world.work)
    world.node.script(how, stage="train", expert="under-way")
    world.create("under-way")


def artifacts(world: World) -> int:
    store = open_store(world.work.store)
    return sum(
        len(list(list_manifests(store, scope=world.namespace, stage=stage))) for stage in StageName
    )


def test_an_expert_goes_with_its_jobs_and_pods_whatever_it_does(world: World) -> None:
    for task in TASKS:
        world.until_stage(at(task), task, "Running")
    world.until_stage("failed", "extract", "Failed")
    world.until(lambda: world.status("suspended").get("phase") == "Suspended")
    names = [*map(at, TASKS), "failed", "suspended"]

    for name in names:
        world.delete(name)

    world.until(lambda: all(world.nothing_is_left(name) for name in names))
    world.settle(*names)
    assert all(world.nothing_is_left(name) for name in names)


def test_artifacts_stay_unless_they_are_to_go(world: World) -> None:
    for name in ("kept", "removed", "anew"):
        world.until_ready(name)
    world.until_stage("under-way", "train", "Running")
    before = artifacts(world)

    world.delete("kept")
    world.delete("removed")

    world.until(lambda: artifacts(world) == before - len(STAGES))


def test_an_expert_that_is_made_anew_has_nothing_of_the_old_ones_status(world: World) -> None:
    old = world.until_ready("anew")
    world.delete("anew")
    world.create("anew")

    new = world.until_ready("anew")

    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert world.work.tasks("anew") == [*TASKS, "resolve"]


def test_what_happens_while_no_operator_runs_is_caught_up_with(
    world: World, gate: threading.Event
) -> None:
    world.until_stage("under-way", "train", "Running")
    world.create("left")
    world.until_ready("left")
    world.operator.kill()

    gate.set()
    world.until(lambda: "train" in world.work.tasks("under-way"))
    world.delete("left")
    world.create("came")
    world.until(lambda: world.nothing_is_left("left"))
    world.operator.start()

    for name in ("under-way", "came"):
        world.until_ready(name)
    assert world.nothing_is_left("left")
    assert world.work.tasks("under-way") == TASKS


def test_a_namespace_goes_although_no_operator_is_there(surroundings: Surroundings) -> None:
    with surroundings.world() as world:
        world.node.script(Outcome(until=threading.Event()), stage="extract", expert="orphan")
        world.create("orphan")
        world.until_stage("orphan", "extract", "Running")
        world.operator.kill()

        world.api.delete("v1/namespaces", world.namespace)

        world.until(lambda: world.api.find("v1/namespaces", world.namespace) is None)
