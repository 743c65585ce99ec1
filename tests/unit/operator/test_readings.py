"""Jobs and Pods are read as they are, and nothing that they say is trusted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.readings import (
    controller_of,
    matches,
    plain,
    read_job,
    read_last_word,
    read_pod,
    read_time,
)
from nanodex_operator.snapshot import JobOutcome, PodState

from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from tests.controlplane import outcome
from tests.controlplane.outcome import Outcome

NOW = "2026-01-01T00:00:00Z"
KEY = "a" * 64


def job(**fields: Any) -> dict[str, Any]:
    labels = {"nanodex.dev/expert": "payments", "nanodex.dev/stage": "train"}
    return {
        "metadata": {
            "name": "ce-payments-train-0123456789",
            "labels": labels | fields.pop("labels", {}),
            "annotations": {"nanodex.dev/key": KEY} | fields.pop("annotations", {}),
            **fields.pop("metadata", {}),
        },
        **fields,
    }


def ended(type_: str, **fields: str) -> dict[str, Any]:
    return {"type": type_, "status": "True", "lastTransitionTime": NOW} | fields


def test_a_job_without_conditions_is_active_whatever_it_counts() -> None:
    seen = read_job(job(status={"failed": 3, "active": 0, "startTime": NOW}))

    assert seen is not None
    assert (seen.outcome, seen.key, seen.task) == (JobOutcome.ACTIVE, KEY, Task.TRAIN)
    assert seen.started_at == read_time(NOW)
    assert seen.finished_at is None


def test_a_job_that_is_about_to_fail_is_still_active() -> None:
    conditions = [ended("FailureTarget", reason="PodFailurePolicy"), ended("SuccessCriteriaMet")]

    seen = read_job(job(status={"conditions": conditions}))

    assert seen is not None
    assert (seen.outcome, seen.reason) == (JobOutcome.ACTIVE, "")


def test_a_failed_job_says_why_and_when() -> None:
    condition = ended("Failed", reason="BackoffLimitExceeded", message="too\noften")

    seen = read_job(job(status={"conditions": [condition]}))

    assert seen is not None
    assert (seen.outcome, seen.reason) == (JobOutcome.FAILED, "BackoffLimitExceeded")
    assert (seen.message, seen.finished_at) == ("too often", read_time(NOW))


def test_a_complete_job_has_its_time_of_completion() -> None:
    status = {"conditions": [ended("Complete")], "completionTime": "2026-01-01T00:00:05Z"}

    seen = read_job(job(status=status, spec={"suspend": True}))

    assert seen is not None
    assert seen.outcome is JobOutcome.COMPLETE
    assert seen.finished_at == read_time("2026-01-01T00:00:05Z")


def test_a_job_is_suspended_as_soon_as_its_spec_says_so() -> None:
    seen = read_job(job(spec={"suspend": True}, labels={"kueue.x-k8s.io/queue-name": "gpus"}))

    assert seen is not None
    assert (seen.outcome, seen.queue_name) == (JobOutcome.SUSPENDED, "gpus")


@pytest.mark.parametrize(
    "wrong",
    [
        job(annotations={"nanodex.dev/key": "../../etc/passwd"}),
        job(annotations={"nanodex.dev/key": None}),
        job(labels={"nanodex.dev/stage": "mine-bitcoin"}),
        {"metadata": {"name": "a"}},
        {"metadata": {"name": "a", "labels": "no", "annotations": []}, "status": "no"},
    ],
)
def test_a_job_that_does_not_say_which_run_it_is_is_none_of_ours(wrong: dict[str, Any]) -> None:
    assert read_job(wrong) is None


def pod(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "pod", "labels": {"nanodex.dev/stage": "train"}},
        "spec": {"containers": [{"name": "stage", "image": "i"}]},
        **fields,
    }


def word(**fields: Any) -> str:
    return (
        TerminationMessage(**{"stage": Task.TRAIN, "exit_code": ExitCode.DONE} | fields)
        .encode()
        .decode()
    )


def ended_pod(how: Outcome) -> dict[str, Any]:
    return pod(status=outcome.ended(pod(), how, now=NOW))


def test_a_pod_that_ended_well_has_a_last_word() -> None:
    seen = read_pod(ended_pod(Outcome(message=word(metrics={"commit": "c0ffee"}))))

    assert (seen.state, seen.exit_code) == (PodState.SUCCEEDED, 0)
    assert seen.last_word is not None
    assert seen.last_word.metrics == {"commit": "c0ffee"}
    assert seen.finished_at == read_time(NOW)


def test_a_pod_that_failed_says_what_its_stage_said() -> None:
    said = word(exit_code=ExitCode.REF_NOT_FOUND, reason=Reason.REF_NOT_FOUND, message="no ref")

    seen = read_pod(ended_pod(Outcome(exit_code=11, message=said)))

    assert (seen.state, seen.exit_code) == (PodState.FAILED, 11)
    assert seen.last_word is not None
    assert seen.last_word.reason is Reason.REF_NOT_FOUND


def test_a_pod_without_a_last_word_is_quoted() -> None:
    seen = read_pod(ended_pod(Outcome(exit_code=1, message="Traceback\n  boom")))

    assert seen.last_word is None
    assert seen.message == "Traceback boom"


def test_a_pod_that_ran_out_of_memory_is_no_ordinary_failure() -> None:
    seen = read_pod(ended_pod(Outcome(reason="OOMKilled")))

    assert (seen.state, seen.exit_code) == (PodState.OOM_KILLED, 137)


def test_a_pod_that_was_taken_away_is_evicted_whatever_its_exit_code() -> None:
    by_kubelet = read_pod(ended_pod(Outcome(reason="Evicted", message="low on memory")))
    by_drain = ended_pod(Outcome(exit_code=143))
    by_drain["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "message": "Eviction API: evicting"}
    )

    assert (by_kubelet.state, by_kubelet.message) == (PodState.EVICTED, "low on memory")
    assert read_pod(by_drain).state is PodState.EVICTED
    assert read_pod(by_drain).message == "Eviction API: evicting"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_is_named(reason: str) -> None:
    status = outcome.waiting(pod(), reason=reason, message="not found", now=NOW)

    seen = read_pod(pod(status=status))

    assert (seen.state, seen.message) == (PodState.IMAGE_PULL_ERROR, f"{reason}: not found")


def test_an_image_of_an_init_container_that_cannot_be_pulled_is_named() -> None:
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    status = {
        "phase": "Pending",
        "initContainerStatuses": [{"name": "first", "state": {"waiting": waiting}}],
        "containerStatuses": [
            {"name": "stage", "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    }

    assert read_pod(pod(status=status)).state is PodState.IMAGE_PULL_ERROR


def test_a_pod_whose_secret_is_missing_waits_and_says_so() -> None:
    status = outcome.waiting(
        pod(), reason="CreateContainerConfigError", message='secret "git" not found', now=NOW
    )

    seen = read_pod(pod(status=status))

    assert seen.state is PodState.PENDING
    assert seen.message == 'CreateContainerConfigError: secret "git" not found'


def test_a_pod_that_fits_nowhere_says_what_the_scheduler_said() -> None:
    status = outcome.unschedulable(pod(), message="0/3 nodes: nvidia.com/gpu", now=NOW)

    seen = read_pod(pod(status=status))

    assert (seen.state, seen.message) == (PodState.UNSCHEDULABLE, "0/3 nodes: nvidia.com/gpu")


def test_a_running_pod_says_since_when() -> None:
    status = outcome.running(pod(), address="10.0.0.1", now=NOW)

    seen = read_pod(pod(status=status))

    assert (seen.state, seen.started_at, seen.exit_code) == (PodState.RUNNING, read_time(NOW), None)


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        (word(stage=Task.EXTRACT), 0),
        (word(), 11),
        (word()[:-1], 0),
        ("x" * 5000, 0),
        (json.dumps({"stage": "train", "exitCode": 0, "metrics": {"a": ["b"]}}), 0),
        (json.dumps({"stage": "train", "exitCode": 0, "rm": "-rf"}), 0),
        ("[" * 4000, 0),
        (None, 0),
        (b"{}", 0),
    ],
)
def test_a_last_word_of_another_task_or_shape_is_not_heard(text: object, exit_code: int) -> None:
    assert read_last_word(text, task="train", exit_code=exit_code) is None


odd = st.sampled_from([None, True, 7, -1.5, "", "True", "Failed", [], {}, ["a"], {"a": [None]}])
fields = st.sampled_from(
    ["conditions", "phase", "containerStatuses", "state", "waiting", "reason", "message", "type"]
)
pieces = st.dictionaries(fields, odd, max_size=4)
nested = st.dictionaries(fields, odd | pieces | st.lists(pieces, max_size=2), max_size=5)


@given(status=nested | st.dictionaries(fields, nested | st.lists(nested, max_size=2)), labels=odd)
def test_whatever_others_write_is_read_without_an_error(status: Any, labels: Any) -> None:
    metadata = {"name": "a", "labels": labels, "annotations": {"nanodex.dev/key": KEY}}
    owners = {"name": "a", "ownerReferences": [labels, status]}
    read_job({"metadata": metadata, "status": status, "spec": status})
    read_pod({"metadata": metadata, "status": status, "spec": status})
    controller_of({"metadata": owners})


def test_words_of_others_are_one_short_line() -> None:
    assert plain("a\x1b[31m\r\nb\u2028c") == "a [31m b c"
    assert len(plain("x" * 10_000)) == 512
    assert plain({"not": "text"}) == ""


@pytest.mark.parametrize(
    ("selector", "admitted"),
    [
        ({}, True),
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "Matches"}]}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: dict[str, Any], admitted: bool) -> None:
    assert matches(selector, {"team": "a"}) is admitted
