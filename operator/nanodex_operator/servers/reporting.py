"""What the status of a ModelServer says: adapters, conditions, events; derived, all pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nanodex.api.desired import DesiredSet
from nanodex.api.reasons import ConditionReason, Reason
from nanodex.api.status import (
    Condition,
    ConditionType,
    Failure,
    ModelServerStatus,
    ServedAdapter,
)
from nanodex_operator.servers.desired_set import Failures
from nanodex_operator.servers.snapshot import ServerSnapshot
from nanodex_operator.snapshot import Event, PodState, ReplicaReport

# The whole status has to fit into an object of the API server.
_MOST_ADAPTERS = 4096
_MANY_ADAPTERS = 500
_LONG_FAILURE, _SHORT_FAILURE = 512, 80
# What the init container can fetch.
_SERVABLE = ("bundled", "hf")
_TROUBLED = (PodState.UNSCHEDULABLE, PodState.IMAGE_PULL_ERROR, PodState.FAILED)


@dataclass(frozen=True)
class _Verdict:
    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def served_adapters(
    desired: DesiredSet,
    *,
    replicas: Sequence[ReplicaReport],
    ready: int,
    left_out: Failures,
) -> tuple[ServedAdapter, ...]:
    """Return what is served and what is not, by name and digest.

    Args:
        desired: what shall be served.
        replicas: what the agents of the ready replicas say.
        ready: how many replicas are ready.
        left_out: what is wanted and not in `desired`, with the reason.
    """
    length = _LONG_FAILURE if len(desired.experts) <= _MANY_ADAPTERS else _SHORT_FAILURE
    found = {
        (one.name, one.digest): ServedAdapter(
            expert=one.name,
            digest=one.digest,
            loaded=f"{sum(one.digest in replica.loaded for replica in replicas)}/{ready}",
            failure=_refusal(one.digest, replicas)[:length],
        )
        for one in desired.experts
    }
    for (name, digest), (reason, message) in left_out.items():
        found[name, digest] = ServedAdapter(
            expert=name, digest=digest, loaded=f"0/{ready}", failure=f"{reason}: {message}"[:length]
        )
    return tuple(found[at] for at in sorted(found))[:_MOST_ADAPTERS]


def fault_of(snapshot: ServerSnapshot) -> Failure | None:
    """Return why nothing can be started for this server; None where nothing is wrong with it."""
    spec = snapshot.server.spec
    scheme = spec.base_model.uri.partition("://")[0]
    if scheme not in _SERVABLE:
        return Failure(
            reason=Reason.MODEL_UNAVAILABLE,
            message=f"a Pod cannot read {scheme}:// as a base model",
            hint="name it as hf://OWNER/NAME or bundled://NAME",
        )
    if not (spec.engine.image or snapshot.settings.engine_image):
        return Failure(
            reason=Reason.INVALID_INPUT,
            message="no image of vLLM is named",
            hint="name one in spec.engine.image, or a default in the chart's images.engine",
        )
    return None


def conditions(status: ModelServerStatus, snapshot: ServerSnapshot) -> tuple[Condition, ...]:
    """Return the conditions; those that are as they were keep their time of transition."""
    before = {one.type: one for one in snapshot.status.conditions}
    now = snapshot.now.replace(microsecond=0)
    result = []
    for verdict in _verdicts(status, snapshot):
        old = before.get(verdict.type)
        since = old.last_transition_time if old and old.status == verdict.status else now
        result.append(
            Condition(
                type=verdict.type,
                status=verdict.status,
                reason=verdict.reason,
                message=verdict.message[:1024],
                observed_generation=snapshot.generation,
                last_transition_time=since,
            )
        )
    return tuple(result)


def events(before: ModelServerStatus, after: ModelServerStatus) -> tuple[Event, ...]:
    """Return what is worth an Event: readiness that came or went, adapters that are refused."""
    said: list[Event] = []
    old, new = _ready(before), _ready(after)
    if new is not None and new.status != (old.status if old else "Unknown"):
        good = new.status == "True"
        said.append(Event("Normal" if good else "Warning", new.reason, new.message))
    known = {(one.expert, one.digest) for one in before.adapters if one.failure}
    for one in after.adapters:
        if one.failure and (one.expert, one.digest) not in known:
            reason = one.failure.partition(":")[0]
            said.append(
                Event("Warning", reason, f"{one.expert} {one.digest}: {one.failure}"[:1024])
            )
    # One bad day of many experts is not a thousand Events.
    return tuple(said[:16])


def _verdicts(status: ModelServerStatus, snapshot: ServerSnapshot) -> Iterator[_Verdict]:
    fault = fault_of(snapshot)
    yield _readiness(status, snapshot, fault)
    yield _loading(status)
    if fault is not None:
        yield _Verdict(
            ConditionType.STALLED, "True", fault.reason, f"{fault.message}. {fault.hint}"
        )


def _readiness(
    status: ModelServerStatus, snapshot: ServerSnapshot, fault: Failure | None
) -> _Verdict:
    type_ = ConditionType.READY
    wanted, ready = snapshot.server.spec.replicas, status.ready_replicas
    if fault is not None:
        return _Verdict(type_, "False", fault.reason, fault.message)
    if wanted == 0:
        reason = ConditionReason.NO_REPLICAS
        return _Verdict(type_, "False", reason, reason.meaning)
    count = f"{ready} of {wanted} replicas answer"
    trouble = _trouble(snapshot)
    if ready >= wanted:
        return _Verdict(type_, "True", ConditionReason.REPLICAS_READY, count)
    reason = ConditionReason.REPLICAS_STARTING
    message = f"{count}; {trouble}" if trouble else count
    return _Verdict(type_, "True" if ready else "False", reason, message)


def _loading(status: ModelServerStatus) -> _Verdict:
    type_ = ConditionType.ADAPTER_LOADED
    whole = f"{status.ready_replicas}/{status.ready_replicas}"
    refused = [one for one in status.adapters if one.failure]
    missing = [one for one in status.adapters if one.loaded != whole and not one.failure]
    total = len(status.adapters)
    if status.ready_replicas == 0 and total:
        reason = ConditionReason.SERVER_NOT_READY
        return _Verdict(type_, "False", reason, reason.meaning)
    if missing:
        text = f"{len(missing)} of {total} adapters are on their way"
        return _Verdict(type_, "False", ConditionReason.SOME_MISSING, text)
    if refused:
        text = f"{len(refused)} of {total}: {refused[0].expert}: {refused[0].failure}"
        return _Verdict(type_, "False", ConditionReason.SOME_REFUSED, text)
    return _Verdict(type_, "True", ConditionReason.ALL_LOADED, f"{total} adapters")


def _trouble(snapshot: ServerSnapshot) -> str:
    if snapshot.deployment is not None and snapshot.deployment.message:
        return snapshot.deployment.message
    for pod in snapshot.pods:
        if pod.state in _TROUBLED:
            return f"{pod.name}: {pod.state}: {pod.message}"
    return ""


def _refusal(digest: str, replicas: Sequence[ReplicaReport]) -> str:
    for replica in replicas:
        if digest in replica.refused:
            reason, message = replica.refused[digest]
            return f"{reason}: {replica.pod}: {message}"
    return ""


def _ready(status: ModelServerStatus) -> Condition | None:
    return next((one for one in status.conditions if one.type is ConditionType.READY), None)
