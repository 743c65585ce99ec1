"""Jobs that nobody wants any more: those at work are stopped before anything else is started."""

from dataclasses import dataclass

from nanodex.api.stages import Task
from nanodex.api.status import StageState
from nanodex_operator.plan.references import References
from nanodex_operator.plan.runs import at_work, started
from nanodex_operator.plan.stages import Stages
from nanodex_operator.plan.walk import Walk
from nanodex_operator.snapshot import Action, DeleteJob, JobOutcome, Snapshot

# How soon to look whether a deleted Job is gone, should its event be lost.
HELD_SECONDS = 5.0


@dataclass(frozen=True)
class Superseded:
    """Jobs that nobody wants any more.

    Attributes:
        actions: their deletion.
        present: one of them is still there, or may be; nothing is created beside it.
    """

    actions: tuple[Action, ...]
    present: bool


def find_superseded(
    snapshot: Snapshot, references: References, walked: Walk | None, stages: Stages
) -> Superseded:
    """Return the Jobs at work whose key is not wanted.

    A Job that the status knows and the cache does not may be too young to be seen: it is deleted
    unseen.
    """
    wanted = {(Task.RESOLVE, references.run.key)}
    if walked is not None:
        # The Job of a stage that just published may still be about to end.
        wanted.update((Task(step.identity.stage), step.identity.key) for step in walked.done)
    if stages.next is not None:
        wanted.add((stages.next.run.task, stages.next.run.key))
    # While the references are not known, a stage at work may turn out to be the right one.
    judged = set(Task) if walked is not None else {Task.RESOLVE}
    there = [job for job in snapshot.jobs if at_work(job) and job.task in judged]
    unwanted = [job for job in there if (job.task, job.key) not in wanted]
    seen = {job.name for job in snapshot.jobs}
    unseen = [
        entry.job
        for entry in snapshot.status.stages
        if started(entry)
        and entry.name in judged
        and (entry.name, entry.key) not in wanted
        and entry.job not in seen
    ]
    deletions = sorted([job.name for job in unwanted if not job.deleting] + unseen)
    return Superseded(
        actions=tuple(DeleteJob(name) for name in deletions),
        present=bool(unwanted or unseen) or any(job.deleting for job in there),
    )


def outdated_looks(snapshot: Snapshot, references: References) -> tuple[Action, ...]:
    """Return the deletion of each answered look that a later one, answered too, has replaced.

    Polls come as often as every thirty seconds; what ended would stay for an hour each. Failed
    ones stay that long, for whoever wants to know why.
    """
    if references.entry.state is not StageState.SUCCEEDED:
        return ()
    return tuple(
        DeleteJob(job.name)
        for job in snapshot.jobs
        if job.task is Task.RESOLVE
        and job.outcome is JobOutcome.COMPLETE
        and job.key != references.run.key
        and not job.deleting
    )
