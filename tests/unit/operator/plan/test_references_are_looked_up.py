"""When a ref is asked for, what an answer changes, and what becomes of a failed or lost one."""

from typing import Any

import pytest
from nanodex_operator.snapshot import PodState

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from nanodex.api.status import ConditionType, StageState


def looks(world: Any) -> int:
    return len([job for job in world.created if job.task is Task.RESOLVE])


def kept(world: Any) -> list[str]:
    return [name for name, job in world.jobs.items() if job.task is Task.RESOLVE]


def resolved(world: Any) -> tuple[str, str]:
    condition = world.condition(ConditionType.SOURCE_RESOLVED)
    return condition.status, condition.reason


def unavailable(world: Any) -> None:
    world.fail("resolve", code=ExitCode.GIT_UNAVAILABLE, reason=Reason.GIT_UNAVAILABLE)
    world.settle()


@pytest.fixture
def hourly(world: Any) -> Any:
    world.edit(source__git__interval="1h")
    world.run("resolve", "extract")
    return world


def test_an_answer_is_pinned(world: Any) -> None:
    world.settle()
    assert resolved(world) == ("Unknown", "Resolving")
    assert world.status.phase == "Resolving"
    world.run("resolve")
    assert resolved(world) == ("True", "Resolved")
    assert world.status.source.commit == "a" * 40
    assert world.status.base_model.revision == "revision-1"
    assert world.status.source.observed_at == world.now


@pytest.mark.parametrize(
    "change",
    [
        {"source__git__ref": {"tag": "v1"}},
        {"source__git__url": "https://git.example.com/acme/other.git"},
        {"source__git__secretRef": {"name": "git"}},
        {"baseModel__revision": "v2"},
        {"baseModel__secretRef": {"name": "hf"}},
    ],
)
def test_a_changed_reference_is_looked_up(world: Any, change: dict[str, Any]) -> None:
    world.run("resolve")
    world.edit(**change)
    world.settle()
    assert looks(world) == 2
    assert resolved(world) == ("Unknown", "Resolving")


def test_another_change_looks_nothing_up(world: Any) -> None:
    world.run("resolve")
    world.edit(training__epochs=5)
    world.tick(1_000_000)
    world.settle()
    assert looks(world) == 1


def test_a_superseded_look_is_stopped_first(world: Any) -> None:
    world.settle()
    old = world.job("resolve")
    world.edit(source__git__ref={"tag": "v1"})
    decided = world.reconcile()
    assert [(type(one).__name__, one.name) for one in decided.actions] == [("DeleteJob", old.name)]
    world.settle()
    assert world.job("resolve").key != old.key


def test_it_is_polled_at_the_interval(hourly: Any) -> None:
    hourly.expire("resolve")
    hourly.tick(3500)
    hourly.settle()
    assert looks(hourly) == 1
    hourly.tick(100)
    hourly.settle()
    assert looks(hourly) == 2
    # What is learned goes on meanwhile, and nobody is alarmed.
    assert resolved(hourly) == ("True", "Resolved")
    assert hourly.job("brain")


def test_of_answered_polls_the_last_one_is_kept(hourly: Any) -> None:
    first = kept(hourly)
    hourly.tick(3600)
    hourly.settle()
    second = hourly.job("resolve").name
    assert kept(hourly) == [*first, second]
    hourly.run("resolve")
    assert kept(hourly) == [second]


def test_a_failed_poll_is_kept_for_whoever_asks_why(hourly: Any) -> None:
    answered = kept(hourly)
    hourly.tick(3600)
    hourly.settle()
    failed = hourly.job("resolve").name
    unavailable(hourly)
    assert kept(hourly) == [*answered, failed]
    hourly.tick(3600)
    hourly.run("resolve")
    assert kept(hourly) == [failed, hourly.job("resolve", at_work=False).name]


def test_the_next_poll_is_the_time_to_wake_up(hourly: Any) -> None:
    hourly.run("brain", "dataset", "train", "evaluate")
    hourly.serve()
    hourly.settle()
    waited = (hourly.now - hourly.status.source.observed_at).total_seconds()
    assert hourly.last.again_after_seconds == 3600 - waited


def test_a_clock_that_was_set_back_does_not_stop_the_polls(hourly: Any) -> None:
    hourly.tick(-1_000_000)
    hourly.settle()
    assert looks(hourly) == 2


def test_a_failed_poll_leaves_the_commit_and_is_tried_at_the_next_interval(hourly: Any) -> None:
    hourly.tick(3600)
    hourly.settle()
    unavailable(hourly)
    assert resolved(hourly) == ("False", "GitUnavailable")
    assert hourly.status.source.commit == "a" * 40
    assert hourly.condition(ConditionType.STALLED) is None
    hourly.run("brain")
    hourly.tick(3000)
    hourly.settle()
    assert looks(hourly) == 2
    hourly.tick(600)
    hourly.settle()
    assert looks(hourly) == 3
    assert resolved(hourly) == ("False", "GitUnavailable")
    hourly.run("resolve")
    assert resolved(hourly) == ("True", "Resolved")


def test_polls_that_fail_alike_are_one_event(hourly: Any) -> None:
    for _ in range(3):
        hourly.tick(3600)
        hourly.settle()
        unavailable(hourly)
    assert [event.reason for event in hourly.events if event.kind == "Warning"] == [
        "GitUnavailable"
    ]


def test_what_may_pass_is_tried_again_after_ten_minutes(world: Any) -> None:
    world.settle()
    unavailable(world)
    assert (world.status.phase, resolved(world)) == ("Failed", ("False", "GitUnavailable"))
    assert world.last.again_after_seconds == 600
    world.tick(599)
    world.settle()
    assert looks(world) == 1
    world.tick(1)
    world.run("resolve")
    assert (looks(world), resolved(world)) == (2, ("True", "Resolved"))


def test_what_is_wrong_waits_for_a_change(world: Any) -> None:
    world.settle()
    world.fail("resolve", code=ExitCode.REF_NOT_FOUND, reason=Reason.REF_NOT_FOUND)
    world.settle()
    world.expire("resolve")
    world.tick(1_000_000)
    world.settle()
    assert (looks(world), world.last.again_after_seconds) == (1, None)
    world.edit(retryNonce="1")
    world.settle()
    assert looks(world) == 2
    world.fail("resolve", code=ExitCode.REF_NOT_FOUND, reason=Reason.REF_NOT_FOUND)
    world.settle()
    world.edit(source__git__ref={"branch": "master"})
    world.run("resolve")
    assert resolved(world) == ("True", "Resolved")


def test_a_lost_answer_is_asked_for_again(world: Any) -> None:
    world.settle()
    first = world.job("resolve").key
    world.succeed("resolve")
    world.change(world.job("resolve", at_work=False), pods=())
    world.settle()
    assert world.stage("resolve").state is StageState.RUNNING
    world.tick(11)
    world.settle()
    assert resolved(world) == ("False", "AnswerLost")
    world.tick(30)
    world.settle()
    assert world.job("resolve").key != first
    world.run("resolve")
    assert resolved(world) == ("True", "Resolved")


def test_an_answer_that_comes_late_is_taken(world: Any) -> None:
    world.settle()
    world.succeed("resolve")
    job = world.job("resolve", at_work=False)
    world.change(job, pods=())
    world.settle()
    world.change(job, pods=job.pods)
    world.settle()
    assert looks(world) == 1
    assert resolved(world) == ("True", "Resolved")


@pytest.mark.parametrize(
    ("commit", "revision"), [("main", "r"), ("", "r"), ("a" * 40, ""), ("a" * 40, "r" * 257)]
)
def test_an_answer_that_is_none_is_a_failure(world: Any, commit: str, revision: str) -> None:
    world.settle()
    world.commit, world.revision = commit, revision
    world.succeed("resolve")
    world.settle()
    assert resolved(world) == ("False", "InternalError")
    assert world.status.source.commit == ""


def test_a_poll_does_not_move_the_base_model(hourly: Any) -> None:
    hourly.revision = "revision-2"
    hourly.tick(3600)
    hourly.run("resolve")
    assert hourly.status.base_model.revision == "revision-1"
    hourly.edit(baseModel__revision="v2")
    hourly.run("resolve")
    assert hourly.status.base_model.revision == "revision-2"


def test_a_pod_that_cannot_start_is_named(world: Any) -> None:
    world.settle()
    world.pod("resolve", PodState.IMAGE_PULL_ERROR, message="no such image")
    world.settle()
    assert world.condition(ConditionType.STALLED).reason == "ImagePullError"


def test_a_server_that_lets_the_question_hang_is_as_good_as_away(world: Any) -> None:
    world.settle()
    world.start("resolve")
    world.settle()
    world.tick(900)
    world.settle()
    assert resolved(world) == ("False", "DeadlineExceeded")
    world.tick(600)
    world.run("resolve")
    assert resolved(world) == ("True", "Resolved")
