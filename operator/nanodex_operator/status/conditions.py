"""The conditions of a CodeExpert, as `kubectl wait` and `kubectl describe` read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nanodex.api.reasons import ConditionReason, Reason
from nanodex.api.stages import Task
from nanodex.api.status import (
    CodeExpertStatus,
    Condition,
    ConditionType,
    Failure,
    StageState,
    StageStatus,
)
from nanodex_operator.status.facts import Facts
from nanodex_operator.status.words import advice, short

_OF_STAGE = {
    Task.EXTRACT: ConditionType.GRAPH_READY,
    Task.BRAIN: ConditionType.BRAIN_READY,
    Task.DATASET: ConditionType.DATASET_READY,
    Task.TRAIN: ConditionType.TRAINED,
    Task.EVALUATE: ConditionType.EVALUATED,
}
_OF_STATE = {
    StageState.WAITING: ConditionReason.WAITING,
    StageState.QUEUED: ConditionReason.QUEUED,
    StageState.RUNNING: ConditionReason.RUNNING,
    StageState.SKIPPED: ConditionReason.SUSPENDED,
    StageState.SUCCEEDED: ConditionReason.SUCCEEDED,
    StageState.CACHED: ConditionReason.CACHED,
    StageState.FAILED: ConditionReason.WAITING,
}
_DONE = (StageState.SUCCEEDED, StageState.CACHED)
_LONGEST = 1024


@dataclass(frozen=True)
class _Verdict:
    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def conditions(status: CodeExpertStatus, facts: Facts) -> tuple[Condition, ...]:
    """Return the conditions of `status`; those it has already keep their time of transition."""
    before = {condition.type: condition for condition in status.conditions}
    now = facts.now.replace(microsecond=0)
    result = []
    for verdict in _verdicts(status, facts, before.get(ConditionType.SOURCE_RESOLVED)):
        old = before.get(verdict.type)
        same = old is not None and old.status == verdict.status
        result.append(
            Condition(
                type=verdict.type,
                status=verdict.status,
                reason=verdict.reason,
                message=verdict.message[:_LONGEST],
                observed_generation=facts.generation,
                last_transition_time=old.last_transition_time if same and old else now,
            )
        )
    return tuple(result)


def _verdicts(
    status: CodeExpertStatus, facts: Facts, source: Condition | None
) -> Iterator[_Verdict]:
    entries = {entry.name: entry for entry in status.stages}
    yield _ready(status, facts)
    yield _source(status, facts, entries.get(Task.RESOLVE), source)
    for task, type_ in _OF_STAGE.items():
        yield _stage(type_, entries.get(task))
    yield _loaded(status, facts)
    yield from _abnormal(status, facts)


def _ready(status: CodeExpertStatus, facts: Facts) -> _Verdict:
    type_ = ConditionType.READY
    active = status.active
    if active is not None and not facts.serving_enabled:
        return _Verdict(type_, "True", ConditionReason.PUBLISHED, f"adapter {active.digest}")
    if active is not None and facts.held_by > 0:
        return _Verdict(
            type_, "True", ConditionReason.SERVING, f"model {status.serving.model} answers"
        )
    if facts.stalled is not None:
        return _failed(type_, facts.stalled)
    if active is not None:
        reason = ConditionReason.LOADING if facts.ready else ConditionReason.SERVER_NOT_READY
        return _Verdict(type_, "False", reason, reason.meaning)
    if facts.suspended:
        reason = ConditionReason.SUSPENDED
    elif status.candidate is not None and not facts.loading:
        reason = ConditionReason.AWAITING_PROMOTION
    elif facts.under_way is not None:
        reason = ConditionReason.PROGRESSING
    else:
        reason = ConditionReason.NO_ADAPTER
    return _Verdict(type_, "False", reason, reason.meaning)


def _source(
    status: CodeExpertStatus, facts: Facts, entry: StageStatus | None, before: Condition | None
) -> _Verdict:
    type_ = ConditionType.SOURCE_RESOLVED
    if entry is not None and entry.state is StageState.FAILED and entry.failure is not None:
        return _failed(type_, entry.failure)
    if not facts.answered:
        suspended = facts.suspended
        reason = ConditionReason.SUSPENDED if suspended else ConditionReason.RESOLVING
        return _Verdict(type_, "Unknown", reason, reason.meaning)
    asking = entry is not None and entry.state is not StageState.SUCCEEDED
    if asking and before is not None and before.status == "False":
        # A poll after a failed one: what it finds will tell.
        return _Verdict(type_, "False", before.reason, before.message)
    newest = status.source.latest_commit or status.source.commit
    return _Verdict(type_, "True", ConditionReason.RESOLVED, f"{facts.ref} is {newest}")


def _stage(type_: ConditionType, entry: StageStatus | None) -> _Verdict:
    if entry is None:
        return _Verdict(type_, "False", ConditionReason.WAITING, ConditionReason.WAITING.meaning)
    if entry.failure is not None:
        return _failed(type_, entry.failure)
    reason = _OF_STATE[entry.state]
    if entry.state not in _DONE:
        return _Verdict(type_, "False", reason, reason.meaning)
    artifact = f"artifact {entry.artifact.digest}" if entry.artifact is not None else ""
    if entry.name is not Task.EVALUATE:
        return _Verdict(type_, "True", reason, artifact)
    score = f"score {entry.metrics.get('score', '?')}"
    if entry.metrics.get("passed") == "true":
        return _Verdict(type_, "True", ConditionReason.PASSED, score)
    return _Verdict(type_, "False", Reason.BELOW_THRESHOLD, f"{score}; {artifact}")


def _loaded(status: CodeExpertStatus, facts: Facts) -> _Verdict:
    type_ = ConditionType.ADAPTER_LOADED
    if not facts.serving_enabled:
        reason = ConditionReason.SERVING_DISABLED
        return _Verdict(type_, "False", reason, reason.meaning)
    if facts.unserved is not None:
        return _failed(type_, facts.unserved)
    if status.active is None:
        if facts.loading:
            reason = ConditionReason.LOADING
        elif status.candidate is not None:
            reason = ConditionReason.AWAITING_PROMOTION
        else:
            reason = ConditionReason.NO_ADAPTER
        return _Verdict(type_, "False", reason, reason.meaning)
    if facts.ready == 0:
        reason = ConditionReason.SERVER_NOT_READY
        return _Verdict(type_, "False", reason, reason.meaning)
    held = f"{facts.held_by} of {facts.ready} ready replicas hold {short(status.active.digest)}"
    if facts.held_by < facts.ready:
        return _Verdict(type_, "False", ConditionReason.LOADING, held)
    return _Verdict(type_, "True", ConditionReason.LOADED, held)


def _abnormal(status: CodeExpertStatus, facts: Facts) -> Iterator[_Verdict]:
    """Yield the conditions that are present only while they are true."""
    busy = facts.under_way is not None or facts.loading != ""
    if busy and facts.stalled is None and not facts.suspended:
        reason = ConditionReason.PROGRESSING
        what = facts.under_way.name.value if facts.under_way is not None else "loading"
        yield _Verdict(ConditionType.RECONCILING, "True", reason, what)
    if facts.stalled is not None:
        stalled = facts.stalled
        yield _Verdict(ConditionType.STALLED, "True", stalled.reason, advice(stalled))
    if status.active is not None and status.source.latest_commit:
        yield _Verdict(
            ConditionType.SOURCE_OUTDATED,
            "True",
            ConditionReason.NEW_COMMIT,
            f"{facts.ref} is {status.source.latest_commit}; the active adapter learned "
            f"{status.active.commit}",
        )
    if facts.suspended:
        reason = ConditionReason.SUSPENDED
        yield _Verdict(ConditionType.SUSPENDED, "True", reason, reason.meaning)


def _failed(type_: ConditionType, failure: Failure) -> _Verdict:
    return _Verdict(type_, "False", failure.reason, advice(failure))
