"""The entries of the five stages after this reconcile, and the run that is next."""

from dataclasses import dataclass
from datetime import datetime

from nanodex.api.manifest import Manifest
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName, Task
from nanodex.api.status import (
    ArtifactRef,
    CodeExpertStatus,
    Failure,
    StageState,
    StageStatus,
)
from nanodex_operator.plan.failures import failure, failure_of_job
from nanodex_operator.plan.runs import Followed, ended_at, failed, follow, run_of, started
from nanodex_operator.plan.walk import Step, Walk, entry_of
from nanodex_operator.snapshot import JobOutcome, ObservedJob, Snapshot

# S3 shows a manifest at once; what was read before the Job's end was seen may lack it.
_ARTIFACT_SECONDS = 60
_MOST_METRICS = 16
_DONE = (StageState.SUCCEEDED, StageState.CACHED)


@dataclass(frozen=True)
class Stages:
    """What becomes of the stages.

    Attributes:
        entries: one for each stage, in order.
        next: the run at the frontier; None where all stages are done, or it is not known.
        followed: all runs that may have a Job, `next` among them.
    """

    entries: tuple[StageStatus, ...]
    next: Followed | None = None
    followed: tuple[Followed, ...] = ()


def advance(snapshot: Snapshot, walked: Walk, *, unserved: Failure | None) -> Stages:
    """Return the entries of the stages by the artifacts and Jobs of `snapshot`.

    Args:
        snapshot: the world.
        walked: how far the committed artifacts lead.
        unserved: why an adapter could not be served; training then does not start.
    """
    entries = [_done(snapshot, step) for step in walked.done]
    if walked.next is None:
        return Stages(tuple(entries))
    task = Task(walked.next.stage)
    followed = _awaited(snapshot, follow(snapshot, run_of(snapshot, task, key=walked.next.key)))
    blocked = unserved if task is Task.TRAIN and _about_to_start(snapshot, followed) else None
    if blocked is not None:
        held = StageStatus(
            name=task,
            key=walked.next.key,
            state=StageState.WAITING,
            retry_nonce=followed.run.retry_nonce,
            failure=blocked,
        )
        followed = Followed(followed.run, held)
    entries.append(followed.entry)
    entries.extend(_later(snapshot.status, after=task))
    return Stages(tuple(entries), next=followed, followed=(followed,))


def attend(snapshot: Snapshot) -> Stages:
    """Return the entries while it is not known what the references mean.

    What is at work may turn out to be the right thing: it is followed, suspended and resumed, but
    nothing is started and nothing given up.
    """
    entries: list[StageStatus] = []
    attended: list[Followed] = []
    for stage in StageName:
        entry = entry_of(snapshot.status, Task(stage)) or StageStatus(name=Task(stage))
        if started(entry):
            followed = follow(snapshot, run_of(snapshot, entry.name, key=entry.key))
            if not followed.missing and followed.complete is None:
                entry = followed.entry
                attended.append(followed)
        entries.append(entry)
    return Stages(tuple(entries), followed=tuple(attended))


def _later(status: CodeExpertStatus, *, after: Task) -> list[StageStatus]:
    """Return the entries of the stages behind `after`, which have no key yet.

    What failed for good is remembered: the key may turn out to be the same.
    """
    tasks = [Task(stage) for stage in StageName]
    entries = []
    for task in tasks[tasks.index(after) + 1 :]:
        before = entry_of(status, task)
        kept = before is not None and before.state is StageState.FAILED
        entries.append(before if before is not None and kept else StageStatus(name=task))
    return entries


def _about_to_start(snapshot: Snapshot, followed: Followed) -> bool:
    before = entry_of(snapshot.status, followed.run.task)
    begun = before is not None and before.key == followed.run.key and started(before)
    return followed.missing and not begun


def _done(snapshot: Snapshot, step: Step) -> StageStatus:
    key, task = step.identity.key, Task(step.identity.stage)
    nonce = snapshot.expert.spec.retry_nonce
    before = entry_of(snapshot.status, task)
    if before is not None and before.key != key:
        before = None
    manifest = snapshot.artifacts.get(key)
    if before is not None and before.state in _DONE and before.artifact is not None:
        if before.artifact.digest == step.digest:
            return before.model_copy(update={"retry_nonce": nonce})
    job = _job_of(snapshot, task, key)
    name = job.name if job else before.job if before else ""
    # Both are missing only if somebody else made the artifact while no status knew of it.
    size = manifest.total_size if manifest is not None else 0
    return StageStatus(
        name=task,
        key=key,
        state=StageState.SUCCEEDED if name else StageState.CACHED,
        job=name,
        attempts=max(before.attempts if before else 0, len(job.pods) if job else 0),
        retry_nonce=nonce,
        started_at=before.started_at if before else None,
        finished_at=_end(job, now=snapshot.now) if name else None,
        artifact=ArtifactRef(digest=step.digest, size_bytes=size),
        metrics=figures(manifest) if manifest is not None else {},
    )


def figures(manifest: Manifest) -> dict[str, str]:
    """Return the figures of an artifact that a status shows, as text.

    Gate and score come first: what is served is decided from them when the manifest is not at hand.
    """
    first = ("passed", "score", "base_score", "loss", "held_out_loss")
    names = sorted(manifest.metrics, key=lambda name: (name not in first, name))
    shown = {
        name[:64]: _text(manifest.metrics[name])
        for name in names[:_MOST_METRICS]
        if isinstance(manifest.metrics[name], bool | int | float | str)
    }
    if "passed" in shown:
        shown["passed"] = _text(bool(manifest.metrics["passed"]))
    return shown


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:64]


def _job_of(snapshot: Snapshot, task: Task, key: str) -> ObservedJob | None:
    jobs = [job for job in snapshot.jobs if job.task is task and job.key == key]
    return max(jobs, key=lambda job: (job.outcome is JobOutcome.COMPLETE, job.name), default=None)


def _end(job: ObservedJob | None, *, now: datetime) -> datetime:
    return ended_at(job, now=now) if job is not None else now.replace(microsecond=0)


def _awaited(snapshot: Snapshot, followed: Followed) -> Followed:
    """Return `followed`; a Job that ended well without an artifact failed after a while."""
    job = followed.complete
    if job is None:
        return followed
    since = abs((snapshot.now - ended_at(job, now=snapshot.now)).total_seconds())
    if job.finished_at is not None and since < _ARTIFACT_SECONDS:
        return Followed(followed.run, followed.entry, again_after=_ARTIFACT_SECONDS / 6)
    before = entry_of(snapshot.status, followed.run.task)
    if job.outcome is JobOutcome.FAILED:
        cause = failure_of_job(job)
    else:
        cause = failure(
            Reason.ARTIFACT_MISSING,
            f"{job.name} ended well, but {snapshot.settings.store} has no artifact of it",
        )
    return Followed(followed.run, failed(snapshot, followed.run, before, cause, job=job))
