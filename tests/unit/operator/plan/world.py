"""A small world to plan in: an API server that keeps its promises, Jobs, a store and servers.

It refuses what the real one refuses: a write over another version conflicts, a create of a name
that exists changes nothing. It checks on every write what must hold at all times.
"""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from nanodex_operator.plan import DesiredAdapters, desired_adapters, pins_of, plan, remembered, walk
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import CreateJob, Event, Plan, Snapshot

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Identity, Pinned
from nanodex.api.manifest import Manifest
from nanodex.api.progress import ProgressReport
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus, Condition, ConditionType, StageStatus
from tests.unit.operator.plan.jobs import Jobs
from tests.unit.operator.plan.promises import (
    Failures,
    check_conditions,
    check_readiness,
    check_takeover,
    check_versions,
    check_work,
)
from tests.unit.operator.plan.servers import BASE, Server

SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://bucket/prefix",
    nanodex_image="registry/nanodex@sha256:1",
    trainer_image="registry/trainer@sha256:1",
)


@dataclasses.dataclass
class Stored:
    """What the API server keeps of the CodeExpert."""

    spec: dict[str, Any]
    status: CodeExpertStatus = CodeExpertStatus()  # noqa: RUF009
    generation: int = 1
    version: int = 1
    deleting: bool = False


class World(Jobs):
    """Everything that a reconcile touches."""

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.settings = SETTINGS
        self.stored = Stored(
            spec={
                "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
                "baseModel": {"uri": BASE},
                **(spec or {}),
            }
        )
        self.progress: dict[str, ProgressReport] = {}
        self.servers = {"qwen": Server("qwen")}
        self.events: list[Event] = []
        self.last = Plan((), self.stored.status)
        self.past_objects = [dataclasses.replace(self.stored)]
        self._failures = Failures()

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
            jobs=self.seen_jobs(ago=jobs_ago),
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
            if isinstance(action, CreateJob):
                self._check_create(action)
            self.act(action, known={job.name for job in snapshot.jobs})
            check_work(self.jobs.values())
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
            server.take(self.wanted(server.name))
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
        serving = self.expert.spec.serving.enabled
        check_takeover(before, again, serving=serving, servers=self.servers)
        check_readiness(again, servers=self.servers)
        check_conditions(before, again)
        check_versions(again)
        self._failures.note(again)
        self._store(status=again)

    def _check_create(self, action: CreateJob) -> None:
        self._failures.check(action)
        assert not self.stored.deleting
        assert len(action.name) <= 63
        assert not self.stored.spec.get("suspend")

    def _store(self, **changes: Any) -> None:
        self.stored = dataclasses.replace(self.stored, version=self.stored.version + 1, **changes)
        self.past_objects.append(self.stored)

    @staticmethod
    def _resource(stored: Stored) -> dict[str, Any]:
        return {
            "metadata": {"name": "payments-api", "namespace": "team-a"},
            "spec": stored.spec,
        }


def build(*, retry_nonce: str, pinned: Pinned | None, task: Task, **_: Any) -> dict[str, Any]:
    assert (pinned is None) == (task is Task.RESOLVE)
    return {"retryNonce": retry_nonce, "pinned": pinned}


def stalled(world: World) -> str:
    condition = world.condition(ConditionType.STALLED)
    return condition.reason if condition is not None else ""


def is_ready(world: World) -> bool:
    condition = world.condition(ConditionType.READY)
    assert condition is not None
    return condition.status == "True"
