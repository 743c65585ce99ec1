"""Kubernetes Events about transitions, from the status before and after; none without one."""

from collections.abc import Iterator

from nanodex.api.stages import Task
from nanodex.api.status import (
    CodeExpertStatus,
    Condition,
    ConditionType,
    StageState,
    StageStatus,
)
from nanodex_operator.snapshot import Event
from nanodex_operator.status.words import advice, short


def events(before: CodeExpertStatus, after: CodeExpertStatus) -> tuple[Event, ...]:
    """Return what is worth an Event between two statuses of one CodeExpert."""
    old = {entry.name: entry for entry in before.stages}
    said: list[Event] = []
    for entry in after.stages:
        # A look at the references is no event; that its outcome changed is one, below.
        if entry.name is not Task.RESOLVE:
            said.extend(_of_stage(old.get(entry.name), entry))
    said.extend(_of_commit(before, after))
    said.extend(_of_active(before, after))
    said.extend(_of_conditions(before, after, said={event.reason for event in said}))
    return tuple(said)


def _of_stage(before: StageStatus | None, entry: StageStatus) -> Iterator[Event]:
    began = (StageState.QUEUED, StageState.RUNNING)
    same = before is not None and (before.key, before.retry_nonce, before.job) == (
        entry.key,
        entry.retry_nonce,
        entry.job,
    )
    state = before.state if before is not None and same else StageState.WAITING
    if entry.state in began and state not in began:
        yield Event("Normal", "StageStarted", f"{entry.name} started as Job {entry.job}")
    elif entry.state is StageState.FAILED and state is not StageState.FAILED:
        if entry.failure is not None:
            yield Event(
                "Warning", entry.failure.reason, f"{entry.name}: {advice(entry.failure)}"[:1024]
            )
    elif entry.artifact is not None:
        had = before is not None and before.key == entry.key and before.artifact is not None
        if not had and entry.state is StageState.CACHED:
            yield Event("Normal", "StageCached", f"{entry.name}: its artifact was there already")
        elif not had:
            yield Event(
                "Normal",
                "StageSucceeded",
                f"{entry.name} published {short(entry.artifact.digest)}",
            )


def _of_commit(before: CodeExpertStatus, after: CodeExpertStatus) -> Iterator[Event]:
    if after.source.commit and after.source.commit != before.source.commit:
        yield Event("Normal", "NewCommit", f"commit {after.source.commit} is learned")


def _of_active(before: CodeExpertStatus, after: CodeExpertStatus) -> Iterator[Event]:
    old = before.active.digest if before.active is not None else ""
    if after.active is not None and after.active.digest != old:
        instead = f" in place of {short(old)}" if old else ""
        yield Event("Normal", "Promoted", f"{after.active.digest} is in service{instead}")


def _of_conditions(
    before: CodeExpertStatus, after: CodeExpertStatus, *, said: set[str]
) -> Iterator[Event]:
    old, new = _by_type(before), _by_type(after)
    suspended = ConditionType.SUSPENDED
    if suspended in new and suspended not in old:
        yield Event("Normal", "Suspended", new[suspended].message)
    if suspended in old and suspended not in new:
        yield Event("Normal", "Resumed", "spec.suspend is false again")
    for type_, bad in ((ConditionType.STALLED, "True"), (ConditionType.SOURCE_RESOLVED, "False")):
        now, then = new.get(type_), old.get(type_)
        if now is None or now.status != bad or now.reason in said:
            continue
        if then is None or (then.status, then.reason) != (now.status, now.reason):
            said.add(now.reason)
            yield Event("Warning", now.reason, now.message)


def _by_type(status: CodeExpertStatus) -> dict[ConditionType, Condition]:
    return {condition.type: condition for condition in status.conditions}
