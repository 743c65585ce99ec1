"""Jobs, their Pods and what they publish, as a cluster and a store keep them."""

import dataclasses
import hashlib
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from nanodex_operator.snapshot import (
    CreateJob,
    DeleteJob,
    JobOutcome,
    ObservedJob,
    ObservedPod,
    PodState,
    SuspendJob,
)

from nanodex.api.manifest import FileEntry, Manifest, TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName, Task

START = datetime(2026, 1, 1, tzinfo=UTC)
AT_WORK = (JobOutcome.ACTIVE, JobOutcome.SUSPENDED)


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Jobs:
    """The Jobs of one CodeExpert; they do what a test says."""

    def __init__(self) -> None:
        self.now = START
        self.commit = "a" * 40
        self.revision = "revision-1"
        self.jobs: dict[str, ObservedJob] = {}
        self.created: list[CreateJob] = []
        self.refused: dict[str, str] = {}
        self.artifacts: dict[str, Manifest] = {}
        self.metrics: dict[StageName, dict[str, Any]] = {
            StageName.EVALUATE: {"passed": True, "score": 0.71, "base_score": 0.02}
        }
        # Digest of what a stage publishes, where it shall not follow from its key.
        self.content: dict[StageName, str] = {}
        self.past_jobs = [dict(self.jobs)]
        # Caches lag, but they do not go back.
        self.jobs_seen = 0

    def job(self, task: Task | str, *, at_work: bool = True) -> ObservedJob:
        """Return the one Job of `task` that is at work, or the newest one."""
        jobs = [job for job in self.jobs.values() if job.task == task]
        found = [job for job in jobs if job.outcome in AT_WORK] if at_work else jobs
        assert found, f"no Job of {task}; there are {sorted(self.jobs)}"
        return found[-1]

    def change(self, job: ObservedJob, **changes: Any) -> ObservedJob:
        changed = dataclasses.replace(job, **changes)
        self.jobs[job.name] = changed
        return changed

    def pod(self, task: Task | str, state: PodState, **details: Any) -> None:
        """Give the Job of `task` a Pod in `state`, in place of one that has not ended."""
        job = self.job(task)
        kept = tuple(pod for pod in job.pods if pod.finished_at is not None)
        details.setdefault("started_at", self.now if state is PodState.RUNNING else None)
        pod = ObservedPod(name=f"{job.name}-{len(kept)}", state=state, **details)
        self.change(job, pods=(*kept, pod))

    def start(self, task: Task | str) -> None:
        self.pod(task, PodState.RUNNING)

    def succeed(self, task: Task | str, *, publish: bool = True) -> None:
        """End the Job of `task` well, with its artifact or its answer."""
        job = self.job(task)
        word = TerminationMessage(stage=job.task, exit_code=ExitCode.DONE)
        if job.task is Task.RESOLVE:
            answer: dict[str, int | float | str] = {
                "commit": self.commit,
                "baseModelRevision": self.revision,
            }
            word = word.model_copy(update={"metrics": answer})
        elif publish:
            self.publish(StageName(job.task), job.key)
        self.pod(task, PodState.SUCCEEDED, finished_at=self.now, exit_code=0, last_word=word)
        self.change(self.jobs[job.name], outcome=JobOutcome.COMPLETE, finished_at=self.now)

    def fail(
        self,
        task: Task | str,
        *,
        code: ExitCode = ExitCode.INVALID_INPUT,
        reason: Reason | None = Reason.INVALID_INPUT,
        message: str = "it went wrong",
        **job_details: Any,
    ) -> None:
        """End the Job of `task` badly."""
        job = self.job(task)
        word = TerminationMessage(stage=job.task, exit_code=code, reason=reason, message=message)
        self.pod(task, PodState.FAILED, finished_at=self.now, exit_code=code, last_word=word)
        self.change(
            self.jobs[job.name],
            **{"outcome": JobOutcome.FAILED, "finished_at": self.now, **job_details},
        )

    def publish(self, stage: StageName, key: str) -> None:
        text = self.content.get(stage, stage + key)
        file = FileEntry(path="file", sha256=digest_of(text)[7:], size=10)
        self.artifacts[key] = Manifest(
            stage=stage, key=key, scope="team-a", files=(file,), metrics=self.metrics.get(stage, {})
        )

    def expire(self, task: Task | str) -> None:
        """Let the ended Jobs of `task` go."""
        for job in list(self.jobs.values()):
            if job.task == task and job.outcome not in AT_WORK:
                del self.jobs[job.name]

    def act(self, action: CreateJob | DeleteJob | SuspendJob, *, known: Collection[str]) -> None:
        """Do what the operator asks for, which knows the Jobs of these names."""
        if isinstance(action, CreateJob):
            if action.name not in self.jobs and action.name not in self.refused:
                self.created.append(action)
                self.jobs[action.name] = ObservedJob(
                    name=action.name,
                    task=action.task,
                    key=action.key,
                    retry_nonce=action.manifest["retryNonce"],
                    started_at=self.now,
                )
        elif isinstance(action, DeleteJob):
            job = self.jobs.get(action.name)
            if job is not None and job.name in known:
                self.change(job, deleting=True)
            elif job is not None:
                del self.jobs[job.name]
        else:
            job = self.jobs.get(action.name)
            if job is not None and job.outcome in AT_WORK:
                outcome = JobOutcome.SUSPENDED if action.suspend else JobOutcome.ACTIVE
                self.change(job, outcome=outcome, pods=(), started_at=self.now)
        self._remember_jobs()

    def seen_jobs(self, *, ago: int) -> tuple[ObservedJob, ...]:
        """Return what a cache has that lags by some changes."""
        self._remember_jobs()
        self.jobs_seen = max(self.jobs_seen, len(self.past_jobs) - 1 - ago)
        return tuple(self.past_jobs[self.jobs_seen].values())

    def _remember_jobs(self) -> None:
        if self.jobs != self.past_jobs[-1]:
            self.past_jobs.append(dict(self.jobs))
