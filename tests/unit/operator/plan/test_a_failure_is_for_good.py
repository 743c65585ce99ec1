"""What failed for good says why, and stays as it is until its key or retryNonce changes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from nanodex_operator.plan import plan
from nanodex_operator.plan.failures import HINTS, failure_of_job
from nanodex_operator.snapshot import JobOutcome, ObservedJob, ObservedPod, PodState

from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName, Task
from nanodex.api.status import ConditionType, StageState
from tests.unit.operator.plan.world import stalled

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_it_says_why_and_what_to_do(training: Any) -> None:
    training.fail(
        "train", code=ExitCode.TRAINING_FAILED, reason=Reason.NAN_LOSS, message="the loss is NaN"
    )
    training.settle()
    entry = training.stage("train")
    assert (entry.state, entry.failure.reason) == (StageState.FAILED, "NaNLoss")
    assert entry.failure.exit_code == 14
    assert entry.failure.message == "the loss is NaN"
    assert "learningRate" in entry.failure.hint
    assert training.status.phase == "Failed"
    assert training.status.message.startswith("the loss is NaN. Lower training.learningRate")
    assert stalled(training) == "NaNLoss"
    assert training.condition(ConditionType.TRAINED).reason == "NaNLoss"
    assert training.condition(ConditionType.READY).reason == "NaNLoss"
    assert [event.reason for event in training.events if event.kind == "Warning"] == ["NaNLoss"]


def test_what_waits_for_others_elsewhere_has_failed_when_a_job_did(training: Any) -> None:
    # The same reason before training means that a server may still be changed.
    training.fail("train", code=ExitCode.RANK_TOO_HIGH, reason=Reason.RANK_TOO_HIGH)
    training.settle()
    assert stalled(training) == "RankTooHigh"
    assert training.status.phase == "Failed"


@pytest.mark.parametrize("remains", ["expired", "deleted by hand", "still there"])
def test_it_does_not_run_again(training: Any, remains: str) -> None:
    training.fail("train")
    training.settle()
    if remains != "still there":
        training.expire("train")
    training.created.clear()
    for _ in range(3):
        training.tick(100_000)
        training.settle()
    assert training.created == []
    assert training.stage("train").state is StageState.FAILED


def test_another_nonce_retries_it(training: Any) -> None:
    training.fail("train")
    training.settle()
    old = training.stage("train").job
    training.edit(retryNonce="1")
    training.settle()
    assert training.job("train").name != old
    assert training.stage("train").state is StageState.QUEUED
    assert stalled(training) == ""
    training.run("train", "evaluate")
    assert training.stage("evaluate").state is StageState.SUCCEEDED


def test_a_nonce_that_changed_before_the_failure_was_seen_retries_it_too(training: Any) -> None:
    training.edit(retryNonce="1")
    training.fail("train")
    training.settle()
    assert training.job("train").retry_nonce == "1"


def test_a_job_at_work_is_kept_whatever_its_nonce(training: Any) -> None:
    name = training.job("train").name
    training.edit(retryNonce="1")
    training.settle()
    assert training.job("train").name == name
    assert training.stage("train").state is StageState.RUNNING


def test_it_is_remembered_while_an_earlier_stage_runs_again(training: Any) -> None:
    training.fail("train")
    training.settle()
    training.expire("train")
    training.content[StageName.DATASET] = "dataset" + training.stage("dataset").key
    training.edit(dataset__seed=18)
    training.run("dataset")
    assert training.stage("train").state is StageState.FAILED


def test_another_key_forgets_it(training: Any) -> None:
    training.fail("train")
    training.settle()
    training.edit(training__epochs=5)
    training.settle()
    assert training.stage("train").state is StageState.QUEUED


def test_what_it_was_to_make_may_still_appear(training: Any) -> None:
    training.fail("train")
    training.settle()
    training.publish(StageName.TRAIN, training.stage("train").key)
    training.settle()
    assert training.stage("train").state is StageState.SUCCEEDED


def test_a_pod_out_of_memory_is_not_tried_again(training: Any) -> None:
    training.pod("train", PodState.OOM_KILLED, finished_at=training.now, exit_code=137)
    decided = training.reconcile()
    assert decided.status_first
    assert [type(action).__name__ for action in decided.actions] == ["DeleteJob"]
    entry = training.stage("train")
    assert (entry.state, entry.failure.reason, entry.failure.exit_code) == (
        StageState.FAILED,
        "OOMKilled",
        137,
    )
    training.settle()
    assert stalled(training) == "OOMKilled"
    assert len([job for job in training.created if job.task is Task.TRAIN]) == 1


def test_a_crash_between_the_record_and_the_deletion_loses_neither(training: Any) -> None:
    training.pod("train", PodState.OOM_KILLED, finished_at=training.now, exit_code=137)
    snapshot = training.observe()
    decided = plan(snapshot, build=lambda **_: {})
    training.apply(decided, snapshot, crash_after=1)
    assert training.job("train").outcome is JobOutcome.ACTIVE
    training.settle()
    assert training.stage("train").failure.reason == "OOMKilled"
    with pytest.raises(AssertionError, match="no Job of train"):
        training.job("train")


def test_the_deadline_counts_from_the_first_pod_that_ran(world: Any) -> None:
    world.edit(training__activeDeadline="1h")
    world.run("resolve", "extract", "brain", "dataset")
    world.tick(5000)
    world.settle()
    world.start("train")
    world.settle()
    world.tick(3590)
    world.settle()
    assert world.stage("train").state is StageState.RUNNING
    assert world.last.again_after_seconds == 10
    world.tick(10)
    world.settle()
    assert world.stage("train").failure.reason == "DeadlineExceeded"
    assert "1h" in world.stage("train").failure.message


def test_a_job_that_had_to_wait_again_starts_its_deadline_anew(world: Any) -> None:
    world.edit(training__activeDeadline="1h")
    world.run("resolve", "extract", "brain", "dataset")
    world.start("train")
    world.settle()
    world.tick(3000)
    del world.jobs[world.job("train").name]
    world.settle()
    world.tick(3000)
    world.settle()
    world.start("train")
    world.settle()
    assert world.stage("train").state is StageState.RUNNING


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (PodState.UNSCHEDULABLE, "Unschedulable"),
        (PodState.IMAGE_PULL_ERROR, "ImagePullError"),
    ],
)
def test_a_pod_that_cannot_start_is_named_and_clears_by_itself(
    world: Any, state: PodState, reason: str
) -> None:
    world.run("resolve", "extract", "brain", "dataset")
    world.pod("train", state, message="0/3 nodes are available")
    world.settle()
    entry = world.stage("train")
    assert (entry.state, entry.failure.reason) == (StageState.QUEUED, reason)
    assert (stalled(world), world.status.phase) == (reason, "Waiting")
    assert "0/3 nodes" in world.status.message
    world.start("train")
    world.settle()
    assert world.stage("train").failure is None
    assert (stalled(world), world.status.phase) == ("", "Training")


def test_a_job_that_the_api_server_refuses_is_tried_again(world: Any) -> None:
    world.settle()
    name = world.job("resolve").name
    world.jobs.clear()
    world.refused[name] = "exceeded quota: gpus"
    world.reconcile()
    assert world.reconcile().again_after_seconds == 60
    assert world.stage("resolve").failure.reason == "JobRefused"
    assert (stalled(world), world.status.phase) == ("JobRefused", "Waiting")
    world.refused.clear()
    world.settle()
    assert (stalled(world), world.job("resolve").name) == ("", name)


def test_a_gate_that_says_no_is_no_failure_of_the_stage(training: Any) -> None:
    training.metrics[StageName.EVALUATE] = {"passed": False, "score": 0.4, "base_score": 0.1}
    training.succeed("train")
    training.settle()
    training.publish(StageName.EVALUATE, training.job("evaluate").key)
    training.fail("evaluate", code=ExitCode.BELOW_THRESHOLD, reason=Reason.BELOW_THRESHOLD)
    training.settle()
    assert training.stage("evaluate").state is StageState.SUCCEEDED
    assert training.condition(ConditionType.EVALUATED).reason == "BelowThreshold"
    assert stalled(training) == "BelowThreshold"
    assert "score 0.4, base model 0.1" in training.condition(ConditionType.STALLED).message
    assert (training.status.active, training.status.candidate) == (None, None)
    training.edit(evaluation__minScore="0.3")
    training.metrics[StageName.EVALUATE] = {"passed": True, "score": 0.4, "base_score": 0.1}
    training.run("evaluate")
    assert training.status.candidate is not None


def test_a_gate_that_says_no_before_the_artifact_is_seen_waits_for_it(training: Any) -> None:
    training.metrics[StageName.EVALUATE] = {"passed": False}
    training.succeed("train")
    training.settle()
    key = training.job("evaluate").key
    training.fail("evaluate", code=ExitCode.BELOW_THRESHOLD, reason=Reason.BELOW_THRESHOLD)
    training.settle()
    assert training.stage("evaluate").state is StageState.RUNNING
    training.publish(StageName.EVALUATE, key)
    training.settle()
    assert training.stage("evaluate").state is StageState.SUCCEEDED


def test_a_job_without_an_artifact_fails_after_a_minute(training: Any) -> None:
    training.succeed("train", publish=False)
    training.settle()
    assert training.stage("train").state is StageState.RUNNING
    training.tick(61)
    training.settle()
    assert training.stage("train").failure.reason == "ArtifactMissing"


def failed_job(*, pods: tuple[ObservedPod, ...] = (), **details: Any) -> ObservedJob:
    return ObservedJob(
        name="job", task=Task.TRAIN, key="0" * 64, outcome=JobOutcome.FAILED, pods=pods, **details
    )


def failed_pod(**details: Any) -> ObservedPod:
    return ObservedPod(**{"name": "pod", "state": PodState.FAILED, "finished_at": NOW, **details})


def word(code: ExitCode, reason: Reason | None = None, **details: Any) -> TerminationMessage:
    return TerminationMessage(stage=Task.TRAIN, exit_code=code, reason=reason, **details)


@pytest.mark.parametrize(
    ("job", "reason", "exit_code"),
    [
        (
            failed_job(
                pods=(
                    failed_pod(exit_code=31, last_word=word(ExitCode.STORE_UNAVAILABLE)),
                    failed_pod(exit_code=14, last_word=word(ExitCode.TRAINING_FAILED)),
                ),
                reason="BackoffLimitExceeded",
            ),
            "NaNLoss",
            14,
        ),
        (
            failed_job(pods=(failed_pod(last_word=word(ExitCode.BUG, message="KeyError")),)),
            "InternalError",
            1,
        ),
        (failed_job(pods=(failed_pod(exit_code=11),)), "RefNotFound", 11),
        (failed_job(pods=(failed_pod(state=PodState.EVICTED, message="disk"),)), "Evicted", None),
        (failed_job(pods=(failed_pod(exit_code=137),)), "BackoffLimitExceeded", 137),
        (failed_job(reason="BackoffLimitExceeded"), "BackoffLimitExceeded", None),
        (
            failed_job(
                reason="PodFailurePolicy",
                message="Container nanodex for pod x failed with exit code 13 matching FailJob",
            ),
            "AuthenticationFailed",
            13,
        ),
        (failed_job(reason="PodFailurePolicy", message="x"), "PodFailurePolicy", None),
        (
            failed_job(
                reason="DeadlineExceeded",
                pods=(failed_pod(exit_code=75, last_word=word(ExitCode.INTERRUPTED)),),
            ),
            "DeadlineExceeded",
            75,
        ),
    ],
)
def test_the_reason_is_the_most_telling_one(
    job: ObservedJob, reason: str, exit_code: int | None
) -> None:
    found = failure_of_job(job)
    assert (found.reason, found.exit_code) == (reason, exit_code)
    assert found.hint


def test_the_hint_of_the_stage_wins(training: Any) -> None:
    said = word(ExitCode.TRAINING_FAILED, Reason.NAN_LOSS, hint="halve it")
    assert failure_of_job(failed_job(pods=(failed_pod(last_word=said),))).hint == "halve it"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_hint_that_fits(reason: Reason) -> None:
    assert 0 < len(HINTS[reason]) <= 512
