"""One operator's insides on an API server in memory and a store in a folder."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nanodex_operator.apply import Applier
from nanodex_operator.artifact_lookup import ArtifactLookup
from nanodex_operator.controller import Controller
from nanodex_operator.intake import Intake
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, PODS
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.observe import Observer
from nanodex_operator.queue import WorkQueue
from nanodex_operator.settings import Settings
from nanodex_operator.watched import ExpertKey, Watched

from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode
from nanodex.api.stages import FILES, StageName, Task
from nanodex.artifacts import ObjectStore, open_store, publish
from tests.unit.operator.memory_cluster import MemoryCluster

NAMESPACE = "team-a"
KEY = ExpertKey(NAMESPACE, "payments")
SPEC: dict[str, Any] = {
    "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
    "baseModel": {"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct"},
    "serving": {"enabled": False},
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Inside:
    """The parts of an operator, and what is around them."""

    cluster: MemoryCluster
    folder: Path
    store: ObjectStore
    watched: Watched
    lookup: ArtifactLookup
    observer: Observer
    applier: Applier
    controller: Controller
    queue: WorkQueue[ExpertKey]
    servers: WorkQueue[str]
    intake: Intake
    metrics: OperatorMetrics
    leading: list[bool] = field(default_factory=lambda: [True])

    def create_expert(self, *, status: Any = None, **spec: Any) -> dict[str, Any]:
        """Create a CodeExpert and let the watch show it."""
        thing = {
            "metadata": {"name": "payments", "generation": 1},
            "spec": SPEC | spec,
            "status": status or {},
        }
        stored = self.cluster.put(CODE_EXPERTS, thing, namespace=NAMESPACE)
        self.intake.see_expert(stored)
        return stored

    def expert(self) -> dict[str, Any]:
        """Return the CodeExpert as the API server has it."""
        return self.cluster.named(CODE_EXPERTS, "payments", namespace=NAMESPACE)

    def status(self) -> dict[str, Any]:
        """Return its status."""
        status: dict[str, Any] = self.expert()["status"]
        return status

    def stage(self, task: str) -> dict[str, Any]:
        """Return what its status says about a task."""
        return next(entry for entry in self.status()["stages"] if entry["name"] == task)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the Jobs that there are."""
        found = self.cluster.objects.items()
        return [thing for (plural, _, _), thing in found if plural == "jobs"]

    def finish(self, job: dict[str, Any], **metrics: Any) -> None:
        """Let the Pod of a Job do its work and end well; the watches show it."""
        labels = job["spec"]["template"]["metadata"]["labels"]
        task = Task(labels["nanodex.dev/stage"])
        word = TerminationMessage(stage=task, exit_code=ExitCode.DONE, metrics=metrics)
        stamp = "2026-01-01T00:00:00Z"
        ended = {
            "exitCode": 0,
            "message": word.encode().decode(),
            "startedAt": stamp,
            "finishedAt": stamp,
        }
        name = job["metadata"]["name"]
        pod = {
            "metadata": {
                "name": f"{name}-pod",
                "labels": labels,
                "ownerReferences": [{"controller": True, "uid": job["metadata"]["uid"]}],
            },
            "status": {
                "phase": "Succeeded",
                "containerStatuses": [{"name": "stage", "state": {"terminated": ended}}],
            },
        }
        self.intake.see_pod(self.cluster.put(PODS, pod, namespace=NAMESPACE))
        complete = {"type": "Complete", "status": "True", "lastTransitionTime": stamp}
        job["status"] = {"completionTime": stamp, "conditions": [complete]}
        self.intake.see_job(self.cluster.put(JOBS, job, namespace=NAMESPACE))

    def publish(self, folder: Path, job: dict[str, Any], **metrics: Any) -> str:
        """Publish what the stage of a Job would; returns the digest."""
        labels = job["spec"]["template"]["metadata"]["labels"]
        stage = StageName(labels["nanodex.dev/stage"])
        key = job["metadata"]["annotations"]["nanodex.dev/key"]
        path = folder / key / (FILES[stage][-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
        return publish(
            folder / key,
            store=self.store,
            stage=stage,
            key=key,
            scope=NAMESPACE,
            metrics=metrics,
        ).manifest.digest


@pytest.fixture
def settings() -> Settings:
    return Settings(
        namespace="nanodex-system",
        store="s3://bucket/prefix",
        nanodex_image="nanodex:1",
        trainer_image="trainer:1",
    )


async def _nothing(_: str) -> None:
    """Servers are reconciled by tests of their own."""


@pytest.fixture
def inside(settings: Settings, tmp_path: Path) -> Iterator[Inside]:
    cluster, metrics, watched = MemoryCluster(), OperatorMetrics(), Watched()
    store = open_store(str(tmp_path / "store"))
    lookup = ArtifactLookup(store, metrics=metrics)
    leading = [True]
    applier = Applier(
        cluster,  # type: ignore[arg-type]
        watched=watched,
        metrics=metrics,
        identity="operator-0",
        leading=lambda: leading[-1],
        wake_server=lambda name: servers.wake(name),
    )
    observer = Observer(watched, lookup=lookup, settings=settings, now=lambda: NOW)
    controller = Controller(
        observer=observer,
        applier=applier,
        watched=watched,
        lookup=lookup,
        metrics=metrics,
        now=lambda: NOW,
    )
    queue = WorkQueue[ExpertKey](controller.reconcile, concurrency=1)
    servers = WorkQueue[str](_nothing, concurrency=1)
    yield Inside(
        cluster=cluster,
        folder=tmp_path,
        store=store,
        watched=watched,
        lookup=lookup,
        observer=observer,
        applier=applier,
        controller=controller,
        queue=queue,
        servers=servers,
        intake=Intake(watched, controller=controller, queue=queue, servers=servers),
        metrics=metrics,
        leading=leading,
    )
    lookup.close()
