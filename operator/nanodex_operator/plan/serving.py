"""Which adapter answers and which one is to take over.

The active adapter is replaced only by one that every ready replica of the server holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nanodex.api.code_expert import CodeExpert
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName, Task
from nanodex.api.status import (
    AdapterStatus,
    CodeExpertStatus,
    Failure,
    ServingStatus,
    StageStatus,
)
from nanodex_operator.plan.binding import Binding, record, server_of, suits
from nanodex_operator.plan.failures import failure
from nanodex_operator.plan.walk import Walk
from nanodex_operator.snapshot import ObservedServer, Snapshot


@dataclass(frozen=True)
class Service:
    """What answers, what may take over, and what keeps it from doing so.

    Attributes:
        active: the adapter that answers.
        candidate: the newest adapter that passed, if it does not answer.
        history: earlier ones, newest first.
        serving: where they are.
        held_by: ready replicas that hold the active adapter and answer to the name.
        ready: ready replicas of its server.
        loading: the digest that the server is expected to load; empty if none.
        failure: why the wanted adapter does not get into service.
    """

    active: AdapterStatus | None
    candidate: AdapterStatus | None
    history: tuple[AdapterStatus, ...]
    serving: ServingStatus
    held_by: int = 0
    ready: int = 0
    loading: str = ""
    failure: Failure | None = None

    @property
    def moves(self) -> bool:
        """Whether a server is expected to take up an adapter."""
        return self.loading != "" or self.serving.next_server != ""


@dataclass(frozen=True)
class DesiredAdapters:
    """What one CodeExpert wants of one ModelServer.

    Attributes:
        adapters: those that are to be loaded, the alias target first.
        alias: the digest that the public name means; empty: the name does not answer here.
    """

    adapters: tuple[AdapterStatus, ...] = ()
    alias: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """Their digests, in the same order."""
        return tuple(adapter.digest for adapter in self.adapters)


def desired_adapters(
    status: CodeExpertStatus, expert: CodeExpert, *, server: str
) -> DesiredAdapters:
    """Return what `expert` wants of the ModelServer `server`.

    Args:
        status: as it was written; what is not written is not wanted.
        expert: the resource.
        server: name of the ModelServer.
    """
    serving = status.serving
    if not expert.spec.serving.enabled or server not in (serving.server, serving.next_server):
        return DesiredAdapters()
    answers = heir = status.active if server == serving.server else None
    wanted = [answers] if answers is not None else []
    if server == (serving.next_server or serving.server):
        # A candidate that waits for a person is loaded too: it can be asked by its digest.
        waiting = None if pinned_digest(expert) else status.candidate
        successor = successor_of(status, expert)
        coming = successor or waiting
        if coming is not None and _has_home(status, coming):
            wanted.append(coming)
            heir = answers or successor
        elif status.active is not None and suits(status.active, expert):
            wanted.append(status.active)
            heir = status.active
    # Where nothing answers to the name yet, it comes with what is to take over: whoever asks is
    # held until that is loaded, and the status never names what nobody answers with.
    return DesiredAdapters(
        adapters=tuple({adapter.digest: adapter for adapter in wanted}.values()),
        alias=heir.digest if heir is not None else "",
    )


def serve(
    snapshot: Snapshot,
    binding: Binding,
    *,
    walked: Walk | None,
    entries: Mapping[Task, StageStatus],
) -> Service:
    """Return what answers after this reconcile.

    Args:
        snapshot: the world.
        binding: the server that the spec leads to.
        walked: how far the committed artifacts lead; None while the references are not known.
        entries: the new entries of the stages.
    """
    status, expert = snapshot.status, snapshot.expert
    active, candidate, history = status.active, status.candidate, status.history
    newest = _newest(snapshot, walked, entries)
    if newest is not None:
        if active is not None and newest.digest == active.digest:
            # The same adapter from other inputs: a new commit may change no file that is learned.
            active = newest.model_copy(update={"promoted_at": active.promoted_at})
            candidate = None
        elif newest.passed:
            candidate = newest
        elif candidate is not None and candidate.digest == newest.digest:
            candidate = None
    if candidate is not None and not suits(candidate, expert):
        candidate = None
    serving = record(snapshot, binding, active=active)
    known = status.model_copy(update={"active": active, "candidate": candidate, "serving": serving})
    successor = successor_of(known, expert)
    home = server_of(snapshot, serving.next_server or serving.server)
    problem = _problem(snapshot, binding, known, home=home)
    if successor is not None and _may_take_over(expert, home, known, successor):
        history = _with_history(known, successor)
        active = successor.model_copy(update={"promoted_at": snapshot.now.replace(microsecond=0)})
        candidate = None if candidate and candidate.digest == active.digest else candidate
        serving, successor = _moved(serving), None
    elif active is not None and serving.next_server and _held_everywhere(home, active.digest):
        serving = _moved(serving)
    answering = server_of(snapshot, serving.server)
    ready = answering.ready_replicas if answering else 0
    held_by = min(ready, _held_by(snapshot, answering, active))
    if expert.spec.serving.enabled:
        serving = ServingStatus(
            server=serving.server,
            next_server=serving.next_server,
            model=expert.model_name,
            url=answering.url if answering else "",
            loaded=f"{held_by}/{ready}" if active else "",
        )
    return Service(
        active=active,
        candidate=candidate,
        history=history[: expert.spec.artifacts.history_limit],
        serving=serving,
        held_by=held_by,
        ready=ready,
        loading=successor.digest if successor else "",
        failure=problem,
    )


def successor_of(status: CodeExpertStatus, expert: CodeExpert) -> AdapterStatus | None:
    """Return the adapter that is to become active; None where none is, or a person decides."""
    pin = pinned_digest(expert)
    if pin:
        known = (status.candidate, *status.history)
        found = next((one for one in known if one is not None and one.digest == pin), None)
        active = status.active is not None and status.active.digest == pin
        return None if active or found is None or not suits(found, expert) else found
    return status.candidate if expert.spec.evaluation.promotion == "Automatic" else None


def pinned_digest(expert: CodeExpert) -> str:
    """Return spec.serving.pin with its `sha256:`; empty where there is none."""
    pin = expert.spec.serving.pin.strip()
    return f"sha256:{pin.removeprefix('sha256:')}" if pin else ""


def _newest(
    snapshot: Snapshot, walked: Walk | None, entries: Mapping[Task, StageStatus]
) -> AdapterStatus | None:
    """Return the adapter at the end of the walk; None where the walk has not got there."""
    if walked is None or walked.next is not None:
        return None
    trained = walked.step(StageName.TRAIN)
    assert trained is not None
    figures = entries[Task.EVALUATE].metrics
    return AdapterStatus(
        digest=trained.digest,
        key=trained.identity.key,
        commit=snapshot.status.source.commit,
        base_model=snapshot.expert.spec.base_model.uri,
        rank=snapshot.expert.spec.training.lora.r,
        score=figures.get("score", "")[:16],
        passed=passed(entries[Task.EVALUATE]),
    )


def passed(evaluate: StageStatus) -> bool:
    """Tell whether the gate said yes; an evaluation that does not say so did not pass."""
    return evaluate.metrics.get("passed") == "true"


def _may_take_over(
    expert: CodeExpert,
    home: ObservedServer | None,
    status: CodeExpertStatus,
    successor: AdapterStatus,
) -> bool:
    if not expert.spec.serving.enabled:
        return True
    return _has_home(status, successor) and _held_everywhere(home, successor.digest)


def _has_home(status: CodeExpertStatus, successor: AdapterStatus) -> bool:
    """Tell whether the server that is meant serves the successor's base model."""
    if status.serving.next_server:
        return True
    return status.active is None or status.active.base_model == successor.base_model


def _held_everywhere(server: ObservedServer | None, digest: str) -> bool:
    if server is None or not server.admits or server.ready_replicas < 1:
        return False
    current = server.status.set_generation
    return len(server.replicas) >= server.ready_replicas and all(
        replica.set_generation >= current and digest in replica.loaded
        for replica in server.replicas
    )


def _held_by(
    snapshot: Snapshot, server: ObservedServer | None, active: AdapterStatus | None
) -> int:
    """Return how many replicas hold `active` and know the name, whatever set they are on.

    A first adapter is held before its name means anything: whoever asks then is told that there is
    no such model. Of a later one the name means the version before for a moment, and is answered.

    The set changes with every expert of the server; that the others look away for a moment must
    not make this one unready. Where no agent answers, what was known last is the best guess.
    """
    if server is None or active is None:
        return 0
    before = snapshot.status
    same = before.active is not None and before.active.digest == active.digest
    if not server.replicas and same and before.serving.server == server.server.metadata.name:
        known = before.serving.loaded.partition("/")[0]
        return int(known) if known.isdecimal() else 0
    name = snapshot.expert.model_name
    return sum(
        active.digest in replica.loaded and (replica.names is None or name in replica.names)
        for replica in server.replicas
    )


def _with_history(status: CodeExpertStatus, successor: AdapterStatus) -> tuple[AdapterStatus, ...]:
    """Return the history when `successor` replaces the active adapter, newest first."""
    before = (status.active,) if status.active is not None else ()
    return (*before, *(one for one in status.history if one.digest != successor.digest))


def _moved(serving: ServingStatus) -> ServingStatus:
    return serving.model_copy(
        update={"server": serving.next_server or serving.server, "next_server": ""}
    )


def _problem(
    snapshot: Snapshot,
    binding: Binding,
    status: CodeExpertStatus,
    *,
    home: ObservedServer | None,
) -> Failure | None:
    """Return why what should answer does not, or cannot."""
    expert = snapshot.expert
    if not expert.spec.serving.enabled and not pinned_digest(expert):
        return None
    missing = _unknown_pin(status, expert)
    if missing is not None or not expert.spec.serving.enabled:
        return missing
    coming = successor_of(status, expert)
    refused = _refusal(home, coming or (None if pinned_digest(expert) else status.candidate))
    refused = refused or _refusal(server_of(snapshot, status.serving.server), status.active)
    if refused is not None:
        return refused
    homeless = status.active is not None and server_of(snapshot, status.serving.server) is None
    return binding.failure if coming is not None or homeless else None


def _unknown_pin(status: CodeExpertStatus, expert: CodeExpert) -> Failure | None:
    pin = pinned_digest(expert)
    known = [one for one in (status.active, status.candidate, *status.history) if one is not None]
    found = next((one for one in known if one.digest == pin), None)
    if not pin or (found is not None and (found == status.active or suits(found, expert))):
        return None
    if found is not None:
        return failure(
            Reason.PIN_NOT_FOUND,
            f"the pinned adapter belongs to {found.base_model}, not to "
            f"{expert.spec.base_model.uri}",
        )
    return failure(Reason.PIN_NOT_FOUND, f"serving.pin {pin[:80]} is no adapter of this expert")


def _refusal(server: ObservedServer | None, adapter: AdapterStatus | None) -> Failure | None:
    if server is None or adapter is None:
        return None
    for replica in server.replicas:
        if adapter.digest in replica.refused:
            reason, message = replica.refused[adapter.digest]
            known = Reason(reason) if reason in set(Reason) else Reason.LOAD_REJECTED
            return failure(known, f"{replica.pod}: {message}")
    return None
