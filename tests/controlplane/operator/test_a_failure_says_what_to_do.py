"""Each kind of failure has its reason and says what to do; what failed for good stays so."""

import threading
from dataclasses import dataclass

import pytest

from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from tests.controlplane.operator.world import JOBS, World, stage_of
from tests.controlplane.outcome import Outcome

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]


def said(task: Task, code: ExitCode, reason: Reason, message: str, hint: str = "") -> Outcome:
    """How a Pod ends that says why it failed."""
    word = TerminationMessage(stage=task, exit_code=code, reason=reason, message=message, hint=hint)
    return Outcome(exit_code=int(code), message=word.encode().decode())


NOT_A_NUMBER = said(Task.TRAIN, ExitCode.TRAINING_FAILED, Reason.NAN_LOSS, "the loss is NaN")
NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


@dataclass(frozen=True)
class Case:
    """A stage that fails for good.

    Attributes:
        task: which.
        how: it ends.
        reason: that the status gives.
        words: that people read.
    """

    task: Task
    how: Outcome
    reason: str
    words: str

    @property
    def name(self) -> str:
        """Name of its CodeExpert."""
        return f"{self.task}-{self.reason}".lower()


CASES = [
    Case(
        Task.RESOLVE,
        said(Task.RESOLVE, ExitCode.REF_NOT_FOUND, Reason.REF_NOT_FOUND, "there is no branch x"),
        "RefNotFound",
        "there is no branch x. Correct spec.source.git.ref",
    ),
    Case(
        Task.RESOLVE,
        said(
            Task.RESOLVE,
            ExitCode.AUTHENTICATION_FAILED,
            Reason.AUTHENTICATION_FAILED,
            "the server wants credentials",
            hint="Name a Secret in secretRef.",
        ),
        "AuthenticationFailed",
        "the server wants credentials. Name a Secret in secretRef.",
    ),
    Case(
        Task.EXTRACT,
        said(Task.EXTRACT, ExitCode.EMPTY_SOURCE, Reason.EMPTY_SOURCE, "no file is left"),
        "EmptySource",
        "no file is left",
    ),
    Case(
        Task.DATASET,
        said(Task.DATASET, ExitCode.INVALID_INPUT, Reason.NOTHING_TO_LEARN, "no fact"),
        "NothingToLearn",
        "no fact",
    ),
    Case(Task.TRAIN, NOT_A_NUMBER, "NaNLoss", "Lower training.learningRate"),
    Case(
        Task.TRAIN,
        said(Task.TRAIN, ExitCode.RANK_TOO_HIGH, Reason.RANK_TOO_HIGH, "rank 512"),
        "RankTooHigh",
        "rank 512",
    ),
    Case(Task.TRAIN, Outcome(reason="OOMKilled"), "OOMKilled", "Raise the memory limit"),
    Case(Task.BRAIN, Outcome(exit_code=17, message="no JSON"), "PodFailurePolicy", "exit code 17"),
]


@pytest.fixture(scope="module")
def room() -> threading.Event:
    """Is set when there is a node with a GPU, and an image to be pulled."""
    return threading.Event()


@pytest.fixture(scope="module", autouse=True)
def begun(world: World, room: threading.Event) -> None:
    """All CodeExperts of this module, applied at once: they wait for each other's Jobs little."""
    for case in CASES:
        world.node.script(case.how, stage=case.task, expert=case.name)
        world.create(case.name)
    for name in ("again", "corrected"):
        world.node.script(NOT_A_NUMBER, stage="train", expert=name, times=1)
        world.create(name)
    world.node.script(Outcome(reason="Evicted"), stage="train", expert="evicted", times=1)
    world.create("evicted")
    stuck = Outcome(reason="Unschedulable", message=NO_ROOM, until=room, work=world.work)
    world.node.script(stuck, stage="train", expert="unschedulable")
    world.create("unschedulable")
    stuck = Outcome(reason="ImagePullBackOff", message="manifest unknown", until=room)
    world.node.script(stuck, stage="extract", expert="no-image")
    world.create("no-image")
    world.node.script(Outcome(until=threading.Event()), stage="train", expert="too-long")
    world.create("too-long", training={"activeDeadline": "1m"})
    world.work.scores["too-bad"] = 0.4
    bad = said(Task.EVALUATE, ExitCode.BELOW_THRESHOLD, Reason.BELOW_THRESHOLD, "0.4 < 0.6")

    def publish_and_fail(pod: dict[str, object]) -> str:
        world.work(pod)
        return bad.message

    how = Outcome(exit_code=bad.exit_code, work=publish_and_fail)
    world.node.script(how, stage="evaluate", expert="too-bad")
    world.create("too-bad")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stage_that_failed_for_good_says_why(world: World, case: Case) -> None:
    entry = world.until_stage(case.name, case.task, "Failed")

    assert entry["failure"]["reason"] == case.reason
    assert entry["finishedAt"]
    stalled = world.condition(case.name, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", case.reason)
    assert case.words in stalled["message"]
    assert world.status(case.name)["phase"] == "Failed"
    assert world.condition(case.name, "Ready")["status"] == "False"
    # Said after the status was written.
    [event] = world.until(lambda: world.events(case.name, case.reason))
    assert event["type"] == "Warning"


def test_an_evaluation_below_the_threshold_keeps_its_figures(world: World) -> None:
    world.until(lambda: world.condition("too-bad", "Evaluated").get("reason") == "BelowThreshold")

    assert world.stage("too-bad", "evaluate")["metrics"]["score"] == "0.4"
    assert "active" not in world.status("too-bad")
    assert world.condition("too-bad", "Ready")["status"] == "False"


def test_an_evicted_pod_costs_nothing(world: World) -> None:
    expert = world.until_ready("evicted")

    assert stage_of(expert, "train")["state"] == "Succeeded"
    assert world.work.tasks("evicted").count("train") == 1


def test_what_cannot_start_is_reported_and_goes_on_by_itself(
    world: World, room: threading.Event
) -> None:
    assert NO_ROOM in world.until_stalled("unschedulable", "Unschedulable")["message"]
    assert world.status("unschedulable")["phase"] == "Waiting"
    assert "manifest unknown" in world.until_stalled("no-image", "ImagePullError")["message"]

    room.set()

    for name in ("unschedulable", "no-image"):
        expert = world.until_ready(name)
        assert "Stalled" not in {one["type"] for one in expert["status"]["conditions"]}


def test_what_failed_for_good_runs_again_when_asked_and_only_then(world: World) -> None:
    failed = world.until_stage("again", "train", "Failed")

    world.api.delete(JOBS, failed["job"], namespace=world.namespace)
    world.until(lambda: world.job_is_gone(failed["job"]))
    world.operator.kill()
    world.operator.start()
    world.operator.wait_until_leading()
    world.settle("again")
    assert world.jobs("again", "train") == []
    assert world.stage("again", "train")["failure"] == failed["failure"]

    world.edit("again", retryNonce="again")
    expert = world.until_ready("again")
    train = stage_of(expert, "train")
    assert (train["state"], train["key"]) == ("Succeeded", failed["key"])
    assert "Stalled" not in {one["type"] for one in expert["status"]["conditions"]}


def test_an_edit_of_what_failed_runs_it_again(world: World) -> None:
    failed = world.until_stage("corrected", "train", "Failed")

    world.edit("corrected", training={"learningRate": "1e-5"})

    assert stage_of(world.until_ready("corrected"), "train")["key"] != failed["key"]


def test_a_quota_is_reported_in_the_api_servers_words_and_waited_for(world: World) -> None:
    quota = {"metadata": {"name": "no-jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    world.api.create("v1/resourcequotas", quota, namespace=world.namespace)
    try:
        world.until(
            lambda: (
                world.api.get("v1/resourcequotas", "no-jobs", namespace=world.namespace)
                .get("status", {})
                .get("hard")
            )
        )
        world.create("refused")
        stalled = world.until_stalled("refused", "JobRefused")
        assert "exceeded quota: no-jobs" in stalled["message"]
    finally:
        world.api.delete("v1/resourcequotas", "no-jobs", namespace=world.namespace)

    # It is tried again each minute; any change of the spec is a reason to try at once.
    world.edit("refused", artifacts={"historyLimit": 3})
    world.until_ready("refused")


def test_training_that_takes_too_long_is_stopped(world: World) -> None:
    # A minute is the shortest that is allowed; most of it has passed by now.
    entry = world.until_stage("too-long", "train", "Failed", seconds=120)

    assert entry["failure"]["reason"] == "DeadlineExceeded"
    assert "activeDeadline" in entry["failure"]["hint"]
    world.until(lambda: world.job_is_gone(entry["job"]))
