"""A suspended expert starts nothing, keeps what it has, and goes on where it stopped."""

from typing import Any

from nanodex_operator.snapshot import JobOutcome

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from nanodex.api.status import ConditionType, StageState


def test_a_job_at_work_is_suspended_and_resumed(training: Any) -> None:
    training.edit(suspend=True)
    training.settle()
    assert training.job("train").outcome is JobOutcome.SUSPENDED
    assert training.stage("train").state is StageState.SKIPPED
    assert training.status.phase == "Suspended"
    assert training.condition(ConditionType.SUSPENDED).status == "True"
    assert training.condition(ConditionType.RECONCILING) is None
    training.edit(suspend=False)
    training.settle()
    assert training.job("train").outcome is JobOutcome.ACTIVE
    assert training.stage("train").state is StageState.QUEUED
    assert training.condition(ConditionType.SUSPENDED) is None
    assert [event.reason for event in training.events][-3:] == [
        "Suspended",
        "StageStarted",
        "Resumed",
    ]


def test_the_time_of_a_suspension_is_not_counted(training: Any) -> None:
    training.tick(80_000)
    training.edit(suspend=True)
    training.settle()
    training.tick(80_000)
    training.edit(suspend=False)
    training.settle()
    training.start("train")
    training.settle()
    training.tick(80_000)
    training.settle()
    assert training.stage("train").state is StageState.RUNNING


def test_nothing_is_started(world: Any) -> None:
    world.edit(suspend=True, source__git__interval="1h")
    world.settle()
    assert world.created == []
    assert world.stage("resolve").state is StageState.SKIPPED
    world.edit(suspend=False)
    world.run("resolve")
    world.edit(suspend=True)
    world.settle()
    world.succeed("extract") if world.job("extract").outcome is JobOutcome.ACTIVE else None
    world.tick(100_000)
    world.settle()
    assert [job.task for job in world.created] == [Task.RESOLVE, Task.EXTRACT]


def test_a_job_that_ends_while_suspended_is_recorded(training: Any) -> None:
    training.edit(suspend=True)
    training.succeed("train")
    training.settle()
    assert training.stage("train").state is StageState.SUCCEEDED
    assert training.stage("evaluate").state is StageState.SKIPPED


def test_what_kueue_has_admitted_is_deleted_instead(training: Any) -> None:
    training.change(training.job("train"), queue_name="gpus")
    training.edit(suspend=True)
    decided = training.reconcile()
    assert [type(action).__name__ for action in decided.actions] == ["DeleteJob"]
    training.settle()
    assert training.stage("train").job == ""
    training.edit(suspend=False)
    training.settle()
    assert training.job("train")


def test_what_kueue_holds_back_is_left_to_it(training: Any) -> None:
    training.change(training.job("train"), queue_name="gpus", outcome=JobOutcome.SUSPENDED, pods=())
    training.settle()
    assert training.job("train").outcome is JobOutcome.SUSPENDED
    assert training.stage("train").state is StageState.QUEUED
    assert training.stage("train").started_at is None


def test_an_expert_whose_ref_is_wrong_can_be_suspended_too(training: Any) -> None:
    training.edit(source__git__ref={"branch": "gone"})
    training.settle()
    training.fail("resolve", code=ExitCode.REF_NOT_FOUND, reason=Reason.REF_NOT_FOUND)
    training.settle()
    training.edit(suspend=True)
    training.settle()
    assert training.job("train").outcome is JobOutcome.SUSPENDED
    training.edit(suspend=False)
    training.settle()
    assert training.job("train").outcome is JobOutcome.ACTIVE


def test_an_edit_while_suspended_removes_the_job_of_the_old_parameters(training: Any) -> None:
    training.edit(suspend=True)
    training.settle()
    training.edit(training__epochs=5)
    training.settle()
    assert not [job for job in training.jobs.values() if job.task is Task.TRAIN]
    training.edit(suspend=False)
    training.settle()
    assert training.job("train")
