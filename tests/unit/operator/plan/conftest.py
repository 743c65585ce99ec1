"""A small world to plan in: an API server that keeps its promises, Jobs, a store and servers.

It refuses what the real one refuses: a write over another version conflicts, a create of a name
that exists changes nothing. It checks on every write what must hold at all times.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nanodex_operator.plan import DesiredAdapters, desired_adapters, pins_of, plan, remembered, walk
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import (
    CreateJob,
    DeleteJob,
    Event,
    JobOutcome,
    ObservedJob,
    ObservedPod,
    ObservedServer,
    Plan,
    PodState,
    ReplicaReport,
    Snapshot,
    SuspendJob,
)

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Identity, Pinned
from nanodex.api.manifest import FileEntry, Manifest, TerminationMessage
from nanodex.api.model_server import ModelServer
from nanodex.api.progress import ProgressReport
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName, Task
from nanodex.api.status import (
    CodeExpertStatus,
    Condition,
    ConditionType,
    ModelServerStatus,
    StageState,
    StageStatus,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://bucket/prefix",
    nanodex_image="registry/nanodex@sha256:1",
    trainer_image="registry/trainer@sha256:1",
)
BASE = "hf://Qwen/Qwen2.5-Coder-7B-Instruct"
ABNORMAL = (
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.SOURCE_OUTDATED,
    ConditionType.SUSPENDED,
)
AT_WORK = (JobOutcome.ACTIVE, JobOutcome.SUSPENDED)


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass
class Stored:
    """What the API server keeps of the CodeExpert."""

    spec: dict[str, Any]
    status: CodeExpertStatus = CodeExpertStatus()  # noqa: RUF009
    generation: int = 1
    version: int = 1
    deleting: bool = False


class Server:
    """A ModelServer with its agents."""

    def __init__(self, name: str, **spec: Any) -> None:
        self.resource = ModelServer.model_validate(
            {
                "metadata": {"name": name},
                "spec": {"baseModel": {"uri": BASE}} | spec,
            }
        )
        self.name = name
        self.admits = True
        self.others: frozenset[str] = frozenset()
        self.ready = 1
        self.generation = 1
        self.desired: tuple[str, ...] = ()
        self.refuses: dict[str, tuple[str, str]] = {}
        self.agents: list[tuple[int, frozenset[str]]] = []

    def take(self, desired: tuple[str, ...]) -> None:
        if desired != self.desired:
            self.desired, self.generation = desired, self.generation + 1

    def sync(self, replica: int | None = None) -> None:
        """Let agents converge: all, or one of them."""
        state = (self.generation, frozenset(set(self.desired) - set(self.refuses)))
        empty = (0, frozenset[str]())
        self.agents = [*self.agents, *[empty] * self.ready][: self.ready]
        for number in range(self.ready):
            if replica is None or replica % self.ready == number:
                self.agents[number] = state

    def holds_everywhere(self, digest: str) -> bool:
        held = [digest in loaded for _, loaded in self.agents[: self.ready]]
        return self.ready > 0 and len(held) == self.ready and all(held)

    def observed(self, me: str, bound: bool) -> ObservedServer:
        return ObservedServer(
            server=self.resource,
            status=ModelServerStatus(set_generation=self.generation),
            admits=self.admits,
            bound=self.others | ({me} if bound else set()),
            ready_replicas=self.ready,
            replicas=tuple(
                ReplicaReport(f"pod-{number}", generation, loaded, self.refuses)
                for number, (generation, loaded) in enumerate(self.agents[: self.ready])
            ),
            url=f"http://{self.name}.nanodex-system.svc/v1",
        )


class World:
    """Everything that a reconcile touches."""

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        self.now = START
        self.settings = SETTINGS
        self.stored = Stored(
            spec={
                "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
                "baseModel": {"uri": BASE},
                **(spec or {}),
            }
        )
        self.commit = "a" * 40
        self.revision = "revision-1"
        self.jobs: dict[str, ObservedJob] = {}
        self.created: list[CreateJob] = []
        self.artifacts: dict[str, Manifest] = {}
        self.metrics: dict[StageName, dict[str, Any]] = {
            StageName.EVALUATE: {"passed": True, "score": 0.71, "base_score": 0.02}
        }
        # Digest of what a stage publishes, where it shall not follow from its key.
        self.content: dict[StageName, str] = {}
        self.progress: dict[str, ProgressReport] = {}
        self.servers = {"qwen": Server("qwen")}
        self.refused: dict[str, str] = {}
        self.events: list[Event] = []
        self.last = Plan((), self.stored.status)
        self.past_objects = [dataclasses.replace(self.stored)]
        self.past_jobs = [dict(self.jobs)]
        # Caches lag, but they do not go back.
        self.jobs_seen = 0
        # What failed for good under the present key and nonce, by task.
        self.failed: dict[Task, tuple[str, str]] = {}

    # What a person does.

    def edit(self, **changes: Any) -> None:
        """Change fields of the spec, `a__b=1` for spec.a.b; the generation grows."""
        spec = CodeExpert.model_validate(self._resource(self.stored)).spec.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        for path, value in changes.items():
            *outer, name = path.split("__")
            inner = spec
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[name] = value
        if spec != self.stored.spec:
            self._store(spec=spec, generation=self.stored.generation + 1)

    def delete(self) -> None:
        self._store(deleting=True)

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)

    # What the cluster does.

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

    # What the operator does.

    @property
    def status(self) -> CodeExpertStatus:
        return self.stored.status

    @property
    def expert(self) -> CodeExpert:
        return CodeExpert.model_validate(self._resource(self.stored))

    def stage(self, task: Task | str) -> StageStatus:
        return next(entry for entry in self.status.stages if entry.name == task)

    def condition(self, type_: ConditionType) -> Condition | None:
        return next((one for one in self.status.conditions if one.type is type_), None)

    def observe(self, *, objects_ago: int = 0, jobs_ago: int = 0) -> Snapshot:
        """Return what a reconcile sees; caches may lag by some versions."""
        seen = self.past_objects[-1 - min(objects_ago, len(self.past_objects) - 1)]
        self._remember_jobs()
        self.jobs_seen = max(self.jobs_seen, len(self.past_jobs) - 1 - jobs_ago)
        jobs = self.past_jobs[self.jobs_seen]
        expert = CodeExpert.model_validate(self._resource(seen))
        bound = {seen.status.serving.server, seen.status.serving.next_server}
        return Snapshot(
            now=self.now,
            expert=expert,
            uid="uid-1",
            generation=seen.generation,
            resource_version=str(seen.version),
            deleting=seen.deleting,
            status=seen.status,
            settings=self.settings,
            jobs=tuple(jobs.values()),
            artifacts=self._artifacts(expert, seen.status),
            progress=self.progress,
            servers=tuple(
                server.observed(expert.model_name, server.name in bound)
                for server in self.servers.values()
            ),
            refused=self.refused,
        )

    def reconcile(self, **lag: int) -> Plan:
        snapshot = self.observe(**lag)
        decided = plan(snapshot, build=build)
        assert decided == plan(snapshot, build=build), "the same snapshot gives the same plan"
        self.apply(decided, snapshot)
        return decided

    def apply(self, decided: Plan, snapshot: Snapshot, *, crash_after: int = 1000) -> None:
        """Do what `decided` says, as the operator's edge does; stop after so many writes."""
        self.last = decided
        if snapshot.resource_version != str(self.stored.version):
            return
        assert not decided.actions or decided.status_first
        assert not decided.events or decided.status != snapshot.status
        if decided.status != snapshot.status:
            if crash_after == 0:
                return
            self._write_status(decided.status)
            crash_after -= 1
        for action in decided.actions[:crash_after]:
            self._act(action, snapshot)
        self.events.extend(decided.events)

    def settle(self) -> None:
        """Reconcile until nothing changes any more."""
        for _ in range(20):
            version = self.stored.version
            decided = self.reconcile()
            gone = [job.name for job in self.jobs.values() if job.deleting]
            for name in gone:
                del self.jobs[name]
            if not gone and not decided.actions and version == self.stored.version:
                assert decided.events == ()
                return
        raise AssertionError(f"it does not settle: {self.last}")

    def wanted(self, server: str) -> DesiredAdapters:
        """Return what the status wants of a server."""
        return desired_adapters(self.status, self.expert, server=server)

    def serve(self) -> None:
        """Let every server take what the status wants and every agent converge."""
        for server in self.servers.values():
            server.take(self.wanted(server.name).digests)
            server.sync()

    def run(self, *tasks: str) -> None:
        """Settle and let the Jobs of `tasks` end well, one after the other."""
        for task in tasks or [task.value for task in Task]:
            self.settle()
            self.start(task)
            self.tick(5)
            self.settle()
            self.succeed(task)
            self.settle()

    def become_ready(self) -> None:
        self.run()
        self.serve()
        self.settle()
        self.serve()
        self.settle()

    def _artifacts(self, expert: CodeExpert, status: CodeExpertStatus) -> dict[str, Manifest]:
        """Return what the store is asked for: where the walk leads that the status remembers."""
        pins = pins_of(status)
        if pins is None:
            return {}
        memory = remembered(status, retry_nonce=expert.spec.retry_nonce)
        found: dict[str, Manifest] = {}

        def lookup(identity: Identity) -> str | None:
            if identity.key in memory:
                return memory[identity.key]
            manifest = self.artifacts.get(identity.key)
            if manifest is not None:
                found[identity.key] = manifest
            return manifest.digest if manifest is not None else None

        walk(expert, pinned=pins, lookup=lookup)
        return found

    def _write_status(self, status: CodeExpertStatus) -> None:
        # Through JSON: what a client reads is what the schema lets through.
        again = CodeExpertStatus.model_validate_json(status.model_dump_json(by_alias=True))
        assert again == status
        before = self.stored.status
        assert again.observed_generation >= before.observed_generation
        self._check_takeover(before, again)
        self._check_conditions(before, again)
        self._note_failures(again)
        digests = [one.digest for one in (again.active, *again.history) if one is not None]
        assert len(set(digests)) == len(digests)
        self._store(status=again)

    def _check_takeover(self, before: CodeExpertStatus, after: CodeExpertStatus) -> None:
        if before.active is None:
            return
        assert after.active is not None
        serving = self.expert.spec.serving.enabled
        if serving and after.active.digest != before.active.digest:
            server = self.servers[after.serving.server]
            assert server.holds_everywhere(after.active.digest)

    def _check_conditions(self, before: CodeExpertStatus, after: CodeExpertStatus) -> None:
        old = {condition.type: condition for condition in before.conditions}
        for condition in after.conditions:
            assert condition.observed_generation == after.observed_generation
            assert condition.type not in ABNORMAL or condition.status == "True"
            was = old.get(condition.type)
            if was is not None and was.status == condition.status:
                assert was.last_transition_time == condition.last_transition_time

    def _note_failures(self, status: CodeExpertStatus) -> None:
        """Keep what failed until the stage has another key, whatever the status forgets."""
        for entry in status.stages:
            if entry.state is StageState.FAILED:
                self.failed[entry.name] = (entry.key, entry.retry_nonce)
            elif entry.key and entry.key != self.failed.get(entry.name, ("", ""))[0]:
                self.failed.pop(entry.name, None)

    def _act(self, action: CreateJob | DeleteJob | SuspendJob, snapshot: Snapshot) -> None:
        if isinstance(action, CreateJob):
            assert self.failed.get(action.task) != (action.key, action.manifest["retryNonce"])
            assert not self.stored.deleting
            assert len(action.name) <= 63
            assert not self.stored.spec.get("suspend")
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
            if job is not None and job.name in {seen.name for seen in snapshot.jobs}:
                self.change(job, deleting=True)
            elif job is not None:
                del self.jobs[job.name]
        else:
            job = self.jobs.get(action.name)
            if job is not None and job.outcome in AT_WORK:
                outcome = JobOutcome.SUSPENDED if action.suspend else JobOutcome.ACTIVE
                self.change(job, outcome=outcome, pods=(), started_at=self.now)
        working = [job.task for job in self.jobs.values() if job.outcome in AT_WORK]
        assert len(set(working)) == len(working), "one Job at work for each stage"
        self._remember_jobs()

    def _store(self, **changes: Any) -> None:
        self.stored = dataclasses.replace(self.stored, version=self.stored.version + 1, **changes)
        self.past_objects.append(self.stored)

    def _remember_jobs(self) -> None:
        if self.jobs != self.past_jobs[-1]:
            self.past_jobs.append(dict(self.jobs))

    @staticmethod
    def _resource(stored: Stored) -> dict[str, Any]:
        return {
            "metadata": {"name": "payments-api", "namespace": "team-a"},
            "spec": stored.spec,
        }


def build(*, retry_nonce: str, pinned: Pinned | None, task: Task, **_: Any) -> dict[str, Any]:
    assert (pinned is None) == (task is Task.RESOLVE)
    return {"retryNonce": retry_nonce, "pinned": pinned}


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    return World()
