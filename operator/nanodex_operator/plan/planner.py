"""Puts the parts together: references, stages, serving, and what the status says about them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Identity, Pinned
from nanodex.api.reasons import Reason
from nanodex.api.stages import Task
from nanodex.api.status import (
    CodeExpertStatus,
    Failure,
    ImagesStatus,
    PinnedStatus,
    SourceStatus,
    StageState,
    StageStatus,
)
from nanodex_operator.plan.binding import bind
from nanodex_operator.plan.failures import failure
from nanodex_operator.plan.references import References, answered, look, references_key
from nanodex_operator.plan.runs import REFRESH_SECONDS, Run, started
from nanodex_operator.plan.serving import Service, passed, serve
from nanodex_operator.plan.stages import Stages, advance, attend
from nanodex_operator.plan.superseded import HELD_SECONDS, find_superseded, outdated_looks
from nanodex_operator.plan.walk import Walk, entry_of, pins_of, remembered, walk
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import Action, CreateJob, Plan, Snapshot
from nanodex_operator.status import Facts, columns, conditions, events, summary

_STALE_RETRY_SECONDS = 1.0


class JobBuilder(Protocol):
    """Builds the manifest of a Job; `nanodex_operator.manifests.jobs.build_job`."""

    def __call__(
        self,
        *,
        expert: CodeExpert,
        uid: str,
        task: Task,
        key: str,
        name: str,
        retry_nonce: str,
        pinned: Pinned | None,
        settings: Settings,
    ) -> Mapping[str, Any]:
        """Return the manifest."""


def plan(snapshot: Snapshot, *, build: JobBuilder) -> Plan:
    """Return what is to be done for the CodeExpert of `snapshot`, and its new status.

    The same snapshot gives the same plan. With the plan applied and the world unchanged, later
    plans have no actions.

    Args:
        snapshot: the world.
        build: makes the manifests of Jobs.
    """
    if snapshot.deleting:
        # What belongs to it goes by its owner references; there is no finalizer.
        return Plan(actions=(), status=snapshot.status)
    if snapshot.generation < snapshot.status.observed_generation:
        return Plan((), snapshot.status, again_after_seconds=_STALE_RETRY_SECONDS)
    references = look(snapshot)
    pinned = _pinned(snapshot, references)
    walked = _walk(snapshot, references, pinned)
    binding = bind(snapshot)
    stages = (
        advance(snapshot, walked, unserved=binding.failure)
        if walked is not None
        else attend(snapshot)
    )
    superseded = find_superseded(snapshot, references, walked, stages)
    if superseded.present:
        references, stages = _held_back(snapshot, references, stages)
    entries = (references.entry, *stages.entries)
    service = serve(
        snapshot, binding, walked=walked, entries={entry.name: entry for entry in entries}
    )
    status = snapshot.status.model_copy(
        update={
            "observed_generation": snapshot.generation,
            "source": _with_newest(references.source, service),
            "base_model": references.base_model,
            "pinned": pinned,
            "stages": entries,
            "active": service.active,
            "candidate": service.candidate,
            "history": service.history,
            "serving": service.serving,
        }
    )
    status = _described(snapshot, status, walked, stages, service)
    actions = (
        *superseded.actions,
        *outdated_looks(snapshot, references),
        *references.actions,
        *(action for followed in stages.followed for action in followed.actions),
        *_creations(snapshot, references, stages, build=build),
    )
    times = (
        references.again_after,
        *(followed.again_after for followed in stages.followed),
        HELD_SECONDS if superseded.present else None,
        # A server takes up an adapter without an event of ours.
        REFRESH_SECONDS if service.moves and service.failure is None else None,
        # What new pins lead to was not looked for in the store yet.
        0.0 if walked is None and answered(status, snapshot.expert) else None,
    )
    return Plan(
        actions=actions,
        status=status,
        events=events(snapshot.status, status),
        again_after_seconds=min((time for time in times if time is not None), default=None),
        status_first=bool(actions),
    )


def _pinned(snapshot: Snapshot, references: References) -> PinnedStatus:
    """Return the images: as they were, unless there is a new commit or a retry is asked for."""
    before, settings = snapshot.status.pinned, snapshot.settings
    nonce = snapshot.expert.spec.retry_nonce
    same = (
        before.images.nanodex != ""
        and before.retry_nonce == nonce
        and references.source.commit == snapshot.status.source.commit
    )
    if same:
        return before
    images = ImagesStatus(nanodex=settings.nanodex_image, trainer=settings.trainer_image)
    return PinnedStatus(images=images, retry_nonce=nonce)


def _walk(snapshot: Snapshot, references: References, pinned: PinnedStatus) -> Walk | None:
    """Return the walk; None while the references are not known or what they mean just changed.

    Then the snapshot was observed for other keys: what the new ones have in the store is seen by
    the next reconcile.
    """
    status = snapshot.status
    if references.source.spec_key != references_key(snapshot.expert):
        return None
    known = (status.source.commit, status.source.spec_key, status.base_model, status.pinned.images)
    now = (
        references.source.commit,
        references.source.spec_key,
        references.base_model,
        pinned.images,
    )
    pins = pins_of(status)
    if known != now or pins is None:
        return None
    memory = remembered(status, retry_nonce=snapshot.expert.spec.retry_nonce)

    def lookup(identity: Identity) -> str | None:
        manifest = snapshot.artifacts.get(identity.key)
        return manifest.digest if manifest is not None else memory.get(identity.key)

    return walk(snapshot.expert, pinned=pins, lookup=lookup)


def _held_back(
    snapshot: Snapshot, references: References, stages: Stages
) -> tuple[References, Stages]:
    """Return both without anything that would be created: an unwanted Job goes first."""
    entry, followed = references.entry, stages.next
    if references.missing:
        entry = _unless_begun(snapshot, references.run, entry)
        references = replace(references, entry=entry, missing=False)
    if followed is not None and followed.missing:
        entry = _unless_begun(snapshot, followed.run, followed.entry)
        held = replace(followed, entry=entry, missing=False)
        entries = tuple(entry if one.name is entry.name else one for one in stages.entries)
        stages = Stages(entries, next=held, followed=(held,))
    return references, stages


def _unless_begun(snapshot: Snapshot, run: Run, entry: StageStatus) -> StageStatus:
    before = entry_of(snapshot.status, run.task)
    if before is not None and before.key == run.key and started(before):
        return entry
    return StageStatus(
        name=run.task, key=run.key, state=StageState.WAITING, retry_nonce=run.retry_nonce
    )


def _creations(
    snapshot: Snapshot, references: References, stages: Stages, *, build: JobBuilder
) -> list[Action]:
    runs = [references.run] if references.missing else []
    if stages.next is not None and stages.next.missing:
        runs.append(stages.next.run)
    return [
        CreateJob(
            name=run.job,
            task=run.task,
            key=run.key,
            manifest=build(
                expert=snapshot.expert,
                uid=snapshot.uid,
                task=run.task,
                key=run.key,
                name=run.job,
                retry_nonce=run.retry_nonce,
                pinned=None if run.task is Task.RESOLVE else pins_of(snapshot.status),
                settings=snapshot.settings,
            ),
        )
        for run in runs
    ]


def _with_newest(source: SourceStatus, service: Service) -> SourceStatus:
    newest = source.latest_commit or source.commit
    learned = service.active is None or service.active.commit == newest
    shown = "" if newest == source.commit and learned else newest
    return source.model_copy(update={"latest_commit": shown})


def _described(
    snapshot: Snapshot,
    status: CodeExpertStatus,
    walked: Walk | None,
    stages: Stages,
    service: Service,
) -> CodeExpertStatus:
    known = answered(status, snapshot.expert)
    resolve, *rest = status.stages
    under_way: StageStatus | None = resolve
    if known:
        under_way = stages.next.entry if stages.next is not None else None
        if walked is None:
            under_way = next((entry for entry in rest if entry.artifact is None), resolve)
    stalled = under_way.failure if under_way is not None else None
    if walked is not None and walked.next is None and not passed(rest[-1]):
        stalled = stalled or _not_passed(rest[-1])
    facts = Facts(
        now=snapshot.now,
        generation=snapshot.generation,
        ref=_ref_name(snapshot.expert),
        suspended=snapshot.expert.spec.suspend,
        answered=known,
        under_way=under_way,
        stalled=stalled or service.failure,
        unserved=service.failure,
        serving_enabled=snapshot.expert.spec.serving.enabled,
        loading=service.loading,
        held_by=service.held_by,
        ready=service.ready,
    )
    words = summary(status, facts)
    return status.model_copy(
        update={
            "phase": words.phase,
            "stage": words.stage,
            "progress": words.progress,
            "message": words.message,
            "columns": columns(status, base_model=snapshot.expert.spec.base_model.uri),
            "conditions": conditions(status, facts),
        }
    )


def _not_passed(evaluate: StageStatus) -> Failure:
    score, base = (evaluate.metrics.get(name, "?") for name in ("score", "base_score"))
    return failure(
        Reason.BELOW_THRESHOLD,
        f"the adapter did not pass the gate: score {score}, base model {base}",
    )


def _ref_name(expert: CodeExpert) -> str:
    ref = expert.spec.source.git.ref
    kind, name = next(
        (kind, name)
        for kind, name in (("branch", ref.branch), ("tag", ref.tag), ("commit", ref.commit))
        if name
    )
    return f"{kind} {name}"
