"""Follows one run of one task through its Job: what its entry in the status becomes.

A run is a key; its Job has a name that follows from the key and retryNonce. A Job that is at work
for the key is adopted whatever its name. What failed for good is remembered in the entry alone:
its Job may be gone.
"""

from dataclasses import dataclass
from datetime import datetime

from nanodex.api.durations import duration_seconds, duration_text
from nanodex.api.reasons import Reason
from nanodex.api.stages import Task
from nanodex.api.status import Failure, StageProgressStatus, StageState, StageStatus
from nanodex_operator.plan.failures import (
    HINTS,
    below_threshold,
    failure,
    failure_of_job,
    failure_of_waiting,
    out_of_memory,
)
from nanodex_operator.plan.walk import entry_of, job_name
from nanodex_operator.snapshot import (
    Action,
    DeleteJob,
    JobOutcome,
    ObservedJob,
    PodState,
    Snapshot,
    SuspendJob,
)
from nanodex_operator.status.words import said_of

# While a Job is at work, how often to look without a cause: progress, deadline, lost events.
REFRESH_SECONDS = 10.0
# How soon to try again what the API server did not accept.
_REFUSED_SECONDS = 60.0
# A look at the references is two requests; a server that lets them hang is as good as away.
_RESOLVE_SECONDS = 900
_AT_WORK = (JobOutcome.ACTIVE, JobOutcome.SUSPENDED)
_BEGUN = (StageState.QUEUED, StageState.RUNNING)


@dataclass(frozen=True)
class Run:
    """One run of a task: what its Job is called and stands for."""

    task: Task
    key: str
    retry_nonce: str
    job: str


@dataclass(frozen=True)
class Followed:
    """Where a run is.

    Attributes:
        run: the run.
        entry: its entry in the status.
        actions: what is to be done with its Jobs.
        missing: it has no Job, and may have one.
        complete: its Job, when that ended well.
        again_after: seconds until it is looked at again; None: on the next event.
    """

    run: Run
    entry: StageStatus
    actions: tuple[Action, ...] = ()
    missing: bool = False
    complete: ObservedJob | None = None
    again_after: float | None = None


def started(entry: StageStatus) -> bool:
    """Tell whether `entry` says that there is a Job that has not ended."""
    return entry.state in (*_BEGUN, StageState.SKIPPED) and entry.job != ""


def at_work(job: ObservedJob) -> bool:
    """Tell whether `job` has not ended; one that is being deleted still may have Pods."""
    return job.outcome in _AT_WORK


def run_of(snapshot: Snapshot, task: Task, *, key: str) -> Run:
    """Return the run for `key`.

    While a run is under way it keeps the nonce that it began with, and with it the name of its
    Job: a Job that the cache does not show yet is then not created a second time under another.
    """
    nonce = snapshot.expert.spec.retry_nonce
    entry = entry_of(snapshot.status, task)
    if entry is not None and entry.key == key and started(entry):
        job = next((job for job in snapshot.jobs if job.name == entry.job), None)
        if job is None or job.outcome is not JobOutcome.FAILED:
            nonce = entry.retry_nonce
    name = job_name(snapshot.expert.metadata.name, task, key=key, retry_nonce=nonce)
    return Run(task=task, key=key, retry_nonce=nonce, job=name)


def follow(snapshot: Snapshot, run: Run) -> Followed:
    """Return where `run` is by the Jobs of `snapshot` and what its status remembers."""
    before = entry_of(snapshot.status, run.task)
    if before is not None and before.key != run.key:
        before = None
    jobs = [job for job in snapshot.jobs if job.task is run.task and job.key == run.key]
    working = [job for job in jobs if at_work(job) and not job.deleting]
    if _failed_for_good(before, retry_nonce=snapshot.expert.spec.retry_nonce):
        assert before is not None
        return Followed(run, before, tuple(DeleteJob(job.name) for job in working))
    if working:
        return _follow_working(snapshot, run, before, working)
    ended = [job for job in jobs if not at_work(job) and job.retry_nonce == run.retry_nonce]
    for job in ended:
        if job.outcome is JobOutcome.COMPLETE or below_threshold(job):
            entry = _entry(run, before, job, state=StageState.RUNNING)
            return Followed(run, entry, complete=job)
    for job in ended:
        return Followed(run, failed(snapshot, run, before, failure_of_job(job), job=job))
    return _follow_missing(snapshot, run, before)


def failed(
    snapshot: Snapshot,
    run: Run,
    before: StageStatus | None,
    cause: Failure,
    *,
    job: ObservedJob,
) -> StageStatus:
    """Return the entry of a run that failed for good."""
    return _entry(run, before, job, state=StageState.FAILED).model_copy(
        update={"failure": cause, "finished_at": ended_at(job, now=snapshot.now)}
    )


def ended_at(job: ObservedJob, *, now: datetime) -> datetime:
    """Return when `job` ended, to the second; `now` where it does not say."""
    ends = [pod.finished_at for pod in job.pods if pod.finished_at is not None]
    return (job.finished_at or (max(ends) if ends else now)).replace(microsecond=0)


def _failed_for_good(before: StageStatus | None, *, retry_nonce: str) -> bool:
    return (
        before is not None
        and before.state is StageState.FAILED
        and before.retry_nonce == retry_nonce
    )


def _follow_working(
    snapshot: Snapshot, run: Run, before: StageStatus | None, working: list[ObservedJob]
) -> Followed:
    job = _kept(working, run)
    others: tuple[Action, ...] = tuple(DeleteJob(other.name) for other in working if other != job)
    entry = _entry(run, before, job, state=StageState.QUEUED)
    cause = out_of_memory(job) or _too_late(snapshot, entry, job)
    if cause is not None:
        # Nothing but the entry will remember it: the Job goes.
        stopped = failed(snapshot, run, before, cause, job=job)
        return Followed(run, stopped, (*others, DeleteJob(job.name)))
    if snapshot.expert.spec.suspend:
        return _suspended(snapshot, run, entry, job, others)
    if job.outcome is JobOutcome.SUSPENDED:
        resume: tuple[Action, ...] = (
            () if job.queue_name else (SuspendJob(job.name, suspend=False),)
        )
        waiting = entry.model_copy(update={"started_at": None})
        return Followed(run, waiting, (*others, *resume), again_after=REFRESH_SECONDS)
    report = snapshot.progress.get(run.key)
    running = any(pod.state is PodState.RUNNING for pod in job.pods) or entry.started_at is not None
    entry = entry.model_copy(
        update={
            "state": StageState.RUNNING if running else StageState.QUEUED,
            "failure": failure_of_waiting(job.pods),
            "progress": StageProgressStatus(
                percent=report.percent, eta_seconds=report.eta_seconds, message=said_of(report)
            )
            if report is not None and running
            else None,
        }
    )
    return Followed(run, entry, others, again_after=_next_look(snapshot, entry))


def _suspended(
    snapshot: Snapshot,
    run: Run,
    entry: StageStatus,
    job: ObservedJob,
    others: tuple[Action, ...],
) -> Followed:
    entry = entry.model_copy(update={"state": StageState.SKIPPED, "started_at": None})
    if job.queue_name:
        # spec.suspend is Kueue's there: what it admitted it would start again. The checkpoint
        # that SIGTERM saves is found by the next Job of the same key.
        gone = entry.model_copy(update={"job": ""})
        return Followed(run, gone, (*others, DeleteJob(job.name)))
    if job.outcome is JobOutcome.SUSPENDED:
        return Followed(run, entry, others)
    return Followed(run, entry, (*others, SuspendJob(job.name, suspend=True)))


def _follow_missing(snapshot: Snapshot, run: Run, before: StageStatus | None) -> Followed:
    if snapshot.expert.spec.suspend:
        entry = StageStatus(
            name=run.task, key=run.key, state=StageState.SKIPPED, retry_nonce=run.retry_nonce
        )
        return Followed(run, entry)
    if before is not None and before.job == run.job and before.state in _BEGUN:
        # Not in the cache yet, or gone: either way it is created under the same name.
        entry = before
    else:
        entry = StageStatus(
            name=run.task,
            key=run.key,
            state=StageState.QUEUED,
            job=run.job,
            retry_nonce=run.retry_nonce,
        )
    refusal = snapshot.refused.get(run.job)
    if refusal is not None:
        entry = entry.model_copy(update={"failure": failure(Reason.JOB_REFUSED, refusal)})
    again_after = REFRESH_SECONDS if refusal is None else _REFUSED_SECONDS
    return Followed(run, entry, missing=True, again_after=again_after)


def _kept(working: list[ObservedJob], run: Run) -> ObservedJob:
    def worth(job: ObservedJob) -> tuple[bool, bool, str]:
        return (
            any(pod.state is PodState.RUNNING for pod in job.pods),
            job.name == run.job,
            job.name,
        )

    return max(working, key=worth)


def _entry(
    run: Run, before: StageStatus | None, job: ObservedJob, *, state: StageState
) -> StageStatus:
    kept = before if before is not None and before.retry_nonce == job.retry_nonce else None
    first = kept.started_at if kept else None
    if first and job.started_at and first < job.started_at:
        # Made anew or resumed: the time that it waited is not counted.
        first = None
    starts = [
        pod.started_at
        for pod in job.pods
        if pod.started_at is not None
        and (job.started_at is None or pod.started_at >= job.started_at)
    ]
    return StageStatus(
        name=run.task,
        key=run.key,
        state=state,
        job=job.name,
        retry_nonce=job.retry_nonce,
        attempts=max(kept.attempts if kept else 0, len(job.pods)),
        started_at=first or (min(starts).replace(microsecond=0) if starts else None),
    )


def _too_late(snapshot: Snapshot, entry: StageStatus, job: ObservedJob) -> Failure | None:
    left = _seconds_left(snapshot, entry)
    if left is None or left > 0 or job.outcome is JobOutcome.SUSPENDED:
        return None
    if entry.name is Task.RESOLVE:
        return failure(
            Reason.DEADLINE_EXCEEDED,
            f"git server or model hub did not answer within {duration_text(_RESOLVE_SECONDS)}",
            hint=HINTS[Reason.GIT_UNAVAILABLE],
        )
    limit = snapshot.expert.spec.training.active_deadline
    return failure(Reason.DEADLINE_EXCEEDED, f"training ran longer than {limit}")


def _seconds_left(snapshot: Snapshot, entry: StageStatus) -> float | None:
    if entry.started_at is None or entry.name not in (Task.RESOLVE, Task.TRAIN):
        return None
    limit = _RESOLVE_SECONDS
    if entry.name is Task.TRAIN:
        limit = duration_seconds(snapshot.expert.spec.training.active_deadline)
    return limit - (snapshot.now - entry.started_at).total_seconds()


def _next_look(snapshot: Snapshot, entry: StageStatus) -> float:
    left = _seconds_left(snapshot, entry)
    return REFRESH_SECONDS if left is None else min(REFRESH_SECONDS, max(left, 1.0))
