"""Reads what the API server shows into the snapshot's values; pure.

All of it may be written by others: a Pod says what it likes in its termination message, a user may
label a Job of their own. What does not fit is left out, never an error.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from nanodex.api.manifest import TerminationMessage
from nanodex.api.stages import Task
from nanodex_operator.manifests.jobs import QUEUE_LABEL
from nanodex_operator.manifests.metadata import (
    KEY_ANNOTATION,
    RETRY_NONCE_ANNOTATION,
    STAGE_LABEL,
)
from nanodex_operator.manifests.stage_pod import CONTAINER
from nanodex_operator.snapshot import JobOutcome, ObservedJob, ObservedPod, PodState

Object = Mapping[str, Any]

# What Kubernetes lets a container say.
_LAST_WORD_BYTES = 4096
_MESSAGE_LENGTH = 512
_KEY = re.compile(r"[0-9a-f]{64}")
_NO_TEXT = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_CANNOT_PULL = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
# Reasons of a Pod that the node, not the container, ended.
_TAKEN_AWAY = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"}
)


def read_job(job: Object) -> ObservedJob | None:
    """Return a Job of ours without its Pods; None if it does not say which run it is."""
    metadata, spec = job["metadata"], _map(job.get("spec"))
    labels, annotations = _map(metadata.get("labels")), _map(metadata.get("annotations"))
    key = _text(annotations.get(KEY_ANNOTATION))
    task = _text(labels.get(STAGE_LABEL))
    if _KEY.fullmatch(key) is None or task not in set(Task):
        return None
    status = _map(job.get("status"))
    conditions = _true_conditions(status)
    outcome = JobOutcome.ACTIVE
    condition: Mapping[str, Any] = {}
    if "Complete" in conditions:
        outcome, condition = JobOutcome.COMPLETE, conditions["Complete"]
    elif "Failed" in conditions:
        outcome, condition = JobOutcome.FAILED, conditions["Failed"]
    elif spec.get("suspend") is True:
        outcome = JobOutcome.SUSPENDED
    ended = status.get("completionTime") or condition.get("lastTransitionTime")
    return ObservedJob(
        name=metadata["name"],
        task=Task(task),
        key=key,
        retry_nonce=_text(annotations.get(RETRY_NONCE_ANNOTATION))[:256],
        outcome=outcome,
        reason=_text(condition.get("reason"))[:64],
        message=plain(condition.get("message")),
        deleting=bool(metadata.get("deletionTimestamp")),
        started_at=read_time(status.get("startTime")),
        finished_at=read_time(ended) if condition else None,
        queue_name=_text(labels.get(QUEUE_LABEL)),
    )


def read_pod(pod: Object) -> ObservedPod:
    """Return what a Pod of a Job is doing."""
    metadata, status = pod["metadata"], _map(pod.get("status"))
    container = _container(status)
    state = _map(container.get("state"))
    ended, running = _map(state.get("terminated")), _map(state.get("running"))
    exit_code = ended.get("exitCode")
    kind, message = _pod_state(status, ended=ended, waiting=_waiting(status))
    last_word = None
    if isinstance(exit_code, int):
        task = _map(metadata.get("labels")).get(STAGE_LABEL)
        last_word = read_last_word(ended.get("message"), task=task, exit_code=exit_code)
    return ObservedPod(
        name=metadata["name"],
        state=kind,
        started_at=read_time(ended.get("startedAt") or running.get("startedAt")),
        finished_at=read_time(ended.get("finishedAt")),
        exit_code=exit_code if isinstance(exit_code, int) else None,
        last_word=last_word,
        message=plain(message if last_word is None else ""),
    )


def read_last_word(text: object, *, task: object, exit_code: int) -> TerminationMessage | None:
    """Return a termination message, if it is one of this task and says what the container did."""
    if not isinstance(text, str) or len(text.encode(errors="replace")) > _LAST_WORD_BYTES:
        return None
    try:
        word = TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None
    return word if word.stage == task and word.exit_code == exit_code else None


def read_time(text: object) -> datetime | None:
    """Return a timestamp of the API server; None where there is none that can be read."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def plain(text: object) -> str:
    """Return words of others as one line of at most 512 characters."""
    return _NO_TEXT.sub(" ", _text(text)).strip()[:_MESSAGE_LENGTH]


def controller_of(thing: Object) -> str:
    """Return the uid of the object that controls this one; empty if none does."""
    for owner in _each(thing["metadata"].get("ownerReferences")):
        if owner.get("controller") is True:
            return _text(owner.get("uid"))
    return ""


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector of Kubernetes matches; an empty one matches all."""
    wanted = _map(selector.get("matchLabels"))
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(
        _expression_matches(expression, labels)
        for expression in _each(selector.get("matchExpressions"))
    )


def _expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(_text(expression.get("key")))
    listed = expression.get("values")
    values = listed if isinstance(listed, list) else []
    match expression.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    # What cannot be read admits nobody.
    return False


def _pod_state(
    status: Mapping[str, Any], *, ended: Mapping[str, Any], waiting: Mapping[str, Any]
) -> tuple[PodState, object]:
    """Return what a Pod is doing and whose words say so."""
    conditions = _true_conditions(status)
    phase, reason = status.get("phase"), _text(status.get("reason"))
    if phase == "Succeeded":
        return PodState.SUCCEEDED, ""
    if phase == "Failed":
        if ended.get("reason") == "OOMKilled":
            return PodState.OOM_KILLED, ""
        if "DisruptionTarget" in conditions or reason in _TAKEN_AWAY:
            said = status.get("message") or _map(conditions.get("DisruptionTarget")).get("message")
            return PodState.EVICTED, said
        return PodState.FAILED, status.get("message") or ended.get("message")
    if phase == "Running":
        # One that ended is about to be counted.
        return PodState.RUNNING, ""
    if _text(waiting.get("reason")) in _CANNOT_PULL:
        return PodState.IMAGE_PULL_ERROR, _reason_and_message(waiting)
    for condition in _each(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return PodState.UNSCHEDULABLE, condition.get("message")
    return PodState.PENDING, _reason_and_message(waiting)


def _reason_and_message(waiting: Mapping[str, Any]) -> str:
    parts = (_text(waiting.get("reason")), _text(waiting.get("message")))
    return ": ".join(part for part in parts if part)


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the stage's own container."""
    for container in _each(status.get("containerStatuses")):
        if container.get("name") == CONTAINER:
            return container
    return {}


def _waiting(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return why a container of the Pod waits; what cannot be pulled goes first."""
    waits = [
        _map(_map(container.get("state")).get("waiting"))
        for name in ("initContainerStatuses", "containerStatuses")
        for container in _each(status.get(name))
    ]
    held_up = (wait for wait in waits if _text(wait.get("reason")) in _CANNOT_PULL)
    return next(held_up, next((wait for wait in waits if wait), {}))


def _true_conditions(status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    conditions = _each(status.get("conditions"))
    return {_text(one.get("type")): one for one in conditions if one.get("status") == "True"}


def _each(value: object) -> Iterator[dict[str, Any]]:
    items: Iterable[object] = value if isinstance(value, list) else ()
    return (item for item in items if isinstance(item, dict))


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
