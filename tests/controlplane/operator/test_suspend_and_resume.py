"""spec.suspend stops what runs, starts nothing new, and loses nothing."""

import threading

import pytest

from tests.controlplane.operator.world import JOBS, World
from tests.controlplane.outcome import Outcome

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]


@pytest.fixture(scope="module", autouse=True)
def begun(world: World) -> None:
    """All CodeExperts of this module, applied at once: they wait for each other's Jobs little."""
    # Exit code 75: it saved a checkpoint when it was told to stop.
    forever = Outcome(until=threading.Event(), exit_code_when_stopped=75)
    world.node.script(forever, stage="train", expert="training", times=1)
    world.create("training")
    world.create("idle", suspend=True)
    world.create("done")
    world.node.script(Outcome(until=threading.Event()), stage="extract", expert="meddled", times=1)
    world.create("meddled")


def test_a_running_training_is_stopped_and_goes_on_with_the_same_job(world: World) -> None:
    running = world.until_stage("training", "train", "Running")

    world.edit("training", suspend=True)
    world.until(lambda: world.status("training")["phase"] == "Suspended")
    # The status is written before the Job is.
    world.until(
        lambda: [job["spec"]["suspend"] for job in world.jobs("training", "train")] == [True]
    )
    world.until(lambda: not world.pods("training", "train"))
    assert world.condition("training", "Suspended")["status"] == "True"

    world.edit("training", suspend=False)
    world.until_ready("training")

    assert world.stage("training", "train")["job"] == running["job"]
    assert len(world.jobs("training", "train")) == 1
    wanted = {"Suspended", "Resumed"}
    world.until(lambda: wanted <= {event["reason"] for event in world.events("training")})


def test_an_expert_that_is_suspended_from_the_start_does_nothing(world: World) -> None:
    world.until(lambda: world.status("idle").get("phase") == "Suspended")
    world.settle("idle")
    assert world.jobs("idle") == []

    world.edit("idle", suspend=False)
    world.until_ready("idle")


def test_an_expert_is_ready_while_it_is_suspended(world: World) -> None:
    world.until_ready("done")

    world.edit("done", suspend=True, training={"epochs": 9})
    world.until(lambda: world.condition("done", "Suspended").get("status") == "True")
    world.settle("done")

    assert world.condition("done", "Ready")["status"] == "True"
    assert world.work.tasks("done").count("train") == 1


def test_a_job_that_a_person_suspends_is_resumed(world: World) -> None:
    job = world.until_stage("meddled", "extract", "Running")["job"]

    world.api.patch(JOBS, job, {"spec": {"suspend": True}}, namespace=world.namespace)

    world.until_ready("meddled")
