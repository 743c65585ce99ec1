"""From apply to Ready, and what an edit or a new commit repeats."""

import dataclasses
from typing import Any

import pytest
from nanodex_operator.plan import job_name, plan

from nanodex.api.progress import ProgressReport
from nanodex.api.stages import StageName, Task
from nanodex.api.status import ConditionType, StageState

PIPELINE = ["resolve", "extract", "brain", "dataset", "train", "evaluate"]


def created(world: Any) -> list[str]:
    return [job.task.value for job in world.created]


def poll(world: Any, commit: str) -> None:
    """Let an hour pass and the next look find `commit`."""
    world.commit = commit
    world.tick(3600)
    world.run("resolve")


@pytest.fixture
def ready(world: Any) -> Any:
    world.edit(source__git__interval="1h")
    world.become_ready()
    world.created.clear()
    world.events.clear()
    return world


def test_one_stage_after_the_other_gets_its_job(world: Any) -> None:
    world.become_ready()
    assert created(world) == PIPELINE
    assert {entry.state for entry in world.status.stages} == {StageState.SUCCEEDED}
    assert world.condition(ConditionType.READY).status == "True"
    assert world.condition(ConditionType.RECONCILING) is None
    assert (world.status.phase, world.status.serving.loaded) == ("Ready", "1/1")


def test_its_events_tell_the_story(world: Any) -> None:
    world.become_ready()
    assert [event.reason for event in world.events] == [
        "NewCommit",
        *["StageStarted", "StageSucceeded"] * 5,
        "Promoted",
    ]


def test_a_job_runs_what_was_pinned_and_not_what_the_operator_has_now(world: Any) -> None:
    world.run("resolve", "extract")
    world.settings = world.settings.model_copy(update={"trainer_image": "registry/trainer@new"})
    world.run("brain", "dataset")
    assert world.created[-1].task is Task.TRAIN
    assert world.created[-1].manifest["pinned"].images.trainer == "registry/trainer@sha256:1"
    assert world.created[-1].manifest["pinned"].commit == "a" * 40


def test_what_it_says_while_it_trains(world: Any) -> None:
    world.run("resolve", "extract", "brain", "dataset")
    world.start("train")
    world.progress[world.job("train").key] = ProgressReport(
        stage=StageName.TRAIN, done=120, total=480, unit="steps", eta_seconds=840
    )
    world.settle()
    status = world.status
    assert (status.phase, status.stage, status.progress) == ("Training", "train", "25%")
    assert status.message == "step 120/480, 25 %, about 14 min left"
    assert world.condition(ConditionType.TRAINED).reason == "Running"
    assert world.last.again_after_seconds == 10


def test_more_epochs_repeat_only_training_and_evaluation(ready: Any) -> None:
    ready.edit(training__epochs=5)
    ready.run("train", "evaluate")
    assert created(ready) == ["train", "evaluate"]


def test_taking_an_edit_back_repeats_nothing(ready: Any) -> None:
    first = ready.status.active.digest
    ready.edit(training__epochs=5)
    ready.run("train", "evaluate")
    ready.serve()
    ready.settle()
    second = ready.status.active.digest
    ready.edit(training__epochs=3)
    ready.settle()
    ready.serve()
    ready.settle()
    assert created(ready) == ["train", "evaluate"]
    assert ready.status.active.digest == first
    assert [one.digest for one in ready.status.history] == [second]


def test_ready_stays_true_while_a_new_commit_is_learned(ready: Any) -> None:
    old = ready.status.active
    poll(ready, "b" * 40)
    for stage in PIPELINE[1:]:
        assert ready.status.active == old
        assert ready.condition(ConditionType.READY).status == "True"
        assert ready.condition(ConditionType.SOURCE_OUTDATED).status == "True"
        assert ready.status.source.latest_commit == "b" * 40
        ready.run(stage)
    ready.serve()
    ready.settle()
    assert ready.status.active.commit == "b" * 40
    assert ready.status.history == (old,)
    assert ready.condition(ConditionType.SOURCE_OUTDATED) is None
    assert ready.status.source.latest_commit == ""


def test_a_commit_that_changes_no_learned_file_repeats_only_extraction(ready: Any) -> None:
    ready.content[StageName.EXTRACT] = "extract" + ready.stage("extract").key
    poll(ready, "b" * 40)
    ready.run("extract")
    assert created(ready) == ["resolve", "extract"]
    assert ready.status.active.commit == "b" * 40
    assert ready.condition(ConditionType.SOURCE_OUTDATED) is None


def test_a_commit_that_comes_while_training_waits_for_its_end(ready: Any) -> None:
    ready.edit(training__epochs=5)
    ready.settle()
    ready.start("train")
    poll(ready, "b" * 40)
    assert ready.status.source.commit == "a" * 40
    assert ready.status.source.latest_commit == "b" * 40
    assert ready.stage("train").state is StageState.RUNNING
    ready.succeed("train")
    ready.run("evaluate")
    assert ready.status.source.commit == "b" * 40
    assert created(ready) == ["train", "resolve", "evaluate", "extract"]


def test_what_the_store_has_needs_no_job(world: Any, make_world: Any) -> None:
    world.become_ready()
    again = make_world()
    again.artifacts = world.artifacts
    again.run("resolve")
    assert created(again) == ["resolve"]
    assert {again.stage(task).state for task in PIPELINE[1:]} == {StageState.CACHED}


def test_an_edit_stops_the_run_that_it_supersedes_before_it_starts_another(ready: Any) -> None:
    ready.edit(training__epochs=5)
    ready.settle()
    ready.start("train")
    old = ready.job("train")
    ready.edit(training__epochs=6)
    decided = ready.reconcile()
    assert [type(action).__name__ for action in decided.actions] == ["DeleteJob"]
    assert ready.reconcile().actions == ()
    assert ready.stage("train").state is StageState.WAITING
    del ready.jobs[old.name]
    ready.settle()
    assert ready.job("train").key != old.key


def test_an_edit_of_the_ref_lets_training_go_on_until_it_is_known_what_it_means(
    ready: Any,
) -> None:
    ready.edit(training__epochs=5)
    ready.settle()
    ready.start("train")
    ready.edit(source__git__secretRef={"name": "other"})
    ready.settle()
    assert ready.condition(ConditionType.SOURCE_RESOLVED).status == "Unknown"
    ready.run("resolve")
    assert created(ready) == ["train", "resolve"]
    assert ready.stage("train").state is StageState.RUNNING


def test_an_upgrade_of_the_operator_repeats_nothing(ready: Any) -> None:
    ready.settings = ready.settings.model_copy(
        update={"nanodex_image": "registry/nanodex@new", "trainer_image": "registry/trainer@new"}
    )
    before = ready.status
    ready.settle()
    assert (created(ready), ready.status) == ([], before)


def test_a_retry_takes_the_images_of_the_operator(ready: Any) -> None:
    ready.settings = ready.settings.model_copy(update={"trainer_image": "registry/trainer@new"})
    ready.edit(retryNonce="1")
    ready.run("train", "evaluate")
    assert created(ready) == ["train", "evaluate"]
    assert ready.status.pinned.images.trainer == "registry/trainer@new"


def test_a_retry_makes_an_artifact_anew_that_the_store_has_lost(ready: Any) -> None:
    del ready.artifacts[ready.stage("brain").key]
    ready.settle()
    assert created(ready) == []
    ready.edit(retryNonce="1")
    ready.run("brain")
    assert created(ready) == ["brain"]
    assert ready.status.active is not None


def test_a_job_that_was_deleted_by_hand_is_made_again(ready: Any) -> None:
    ready.edit(training__epochs=5)
    ready.settle()
    name = ready.job("train").name
    del ready.jobs[name]
    ready.settle()
    assert ready.job("train").name == name


def test_an_event_before_the_cache_shows_the_job_creates_it_under_the_same_name(
    world: Any,
) -> None:
    world.reconcile()
    decided = world.reconcile(jobs_ago=1)
    assert [action.name for action in decided.actions] == [world.job("resolve").name]
    assert len(world.created) == 1


def test_a_job_too_young_to_be_seen_is_deleted_unseen_before_another_is_made(ready: Any) -> None:
    ready.edit(training__epochs=5)
    ready.reconcile()
    old = ready.job("train")
    ready.edit(training__epochs=6)
    decided = ready.reconcile(jobs_ago=1)
    assert [(type(one).__name__, one.name) for one in decided.actions] == [("DeleteJob", old.name)]
    ready.settle()
    assert ready.job("train").key != old.key


@pytest.mark.parametrize("task", Task)
def test_names_of_jobs_fit_and_follow_from_their_run(task: Task) -> None:
    name = job_name("a" * 40, task, key="0" * 64, retry_nonce="n" * 256)
    # The Pods of a training run on several nodes append their index, 63 at most.
    assert len(name) <= (60 if task is Task.TRAIN else 63)
    assert name == job_name("a" * 40, task, key="0" * 64, retry_nonce="n" * 256)
    others = {
        job_name("a" * 40, task, key="0" * 64, retry_nonce=""),
        job_name("a" * 40, task, key="1" * 64, retry_nonce="n" * 256),
    }
    assert name not in others


def test_nothing_is_done_while_it_is_deleted(world: Any) -> None:
    world.run("resolve")
    world.delete()
    for _ in range(3):
        before = world.status
        decided = world.reconcile()
        assert (decided.actions, decided.events, world.status) == ((), (), before)


def test_an_older_generation_is_not_planned_for(ready: Any) -> None:
    stale = dataclasses.replace(ready.observe(), generation=1)
    decided = plan(stale, build=lambda **_: {})
    assert decided.status == stale.status
    assert decided.actions == ()
    assert decided.again_after_seconds == 1
