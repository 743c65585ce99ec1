"""The world as one reconcile sees it: from the watches' caches, and from the store where needed.

In steady state it asks nobody: the status knows the digests, the caches know the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Identity
from nanodex.api.manifest import Manifest
from nanodex.api.progress import ProgressReport
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus, StageState
from nanodex_operator.artifact_lookup import ArtifactLookup
from nanodex_operator.cache import Entry
from nanodex_operator.documents import SeenExpert, read_expert, read_status
from nanodex_operator.plan import pins_of, remembered, walk
from nanodex_operator.readings import matches
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import JobOutcome, ObservedJob, ObservedServer, Snapshot
from nanodex_operator.watched import BoundTo, Watched


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class Observer:
    """Makes snapshots.

    Args:
        watched: what the watches have shown.
        lookup: the store.
        settings: the operator's.
        now: time of day, UTC.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        lookup: ArtifactLookup,
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._watched = watched
        self._lookup = lookup
        self._settings = settings
        self._now = now

    async def observe(self, entry: Entry[SeenExpert], *, refused: Mapping[str, str]) -> Snapshot:
        """Return the world for one CodeExpert.

        Args:
            entry: the resource.
            refused: Jobs that the API server did not accept, with its words.

        Raises:
            InvalidSpec: the spec is none that this version understands.
            NanodexError: the store had to be asked and is away.
        """
        seen = entry.value
        expert, status = read_expert(seen), read_status(seen)
        jobs = self._jobs(seen.uid)
        return Snapshot(
            now=self._now(),
            expert=expert,
            uid=seen.uid,
            generation=seen.generation,
            resource_version=seen.resource_version,
            deleting=seen.deleting,
            status=status,
            settings=self._settings,
            jobs=jobs,
            artifacts={} if seen.deleting else await self._artifacts(expert, status, jobs),
            progress={} if seen.deleting else await self._progress(expert, status),
            servers=self._servers(seen.namespace),
            refused=refused,
        )

    def _jobs(self, uid: str) -> tuple[ObservedJob, ...]:
        return tuple(
            replace(job.value, pods=tuple(pod.value for pod in self._watched.pods.tagged(job.uid)))
            for job in self._watched.jobs.tagged(uid)
        )

    async def _artifacts(
        self, expert: CodeExpert, status: CodeExpertStatus, jobs: tuple[ObservedJob, ...]
    ) -> dict[str, Manifest]:
        """Return the manifests that the walk needs beyond what the status remembers."""
        pins = pins_of(status)
        if pins is None:
            return {}
        nonce = expert.spec.retry_nonce
        memory = remembered(status, retry_nonce=nonce)
        # Whoever asks for a retry may have lost artifacts.
        doubted = {entry.key for entry in status.stages if entry.retry_nonce != nonce}
        at_work = {job.key for job in jobs if _at_work(job)}
        found: dict[str, Manifest] = {}

        def digest(identity: Identity) -> str | None:
            manifest = found.get(identity.key)
            return manifest.digest if manifest is not None else memory.get(identity.key)

        while True:
            wanted = walk(expert, pinned=pins, lookup=digest).next
            if wanted is None or wanted.key in at_work:
                return found
            if wanted.key in doubted:
                self._lookup.forget(wanted.scope, wanted.stage, wanted.key)
            manifest = await self._lookup.find(wanted.scope, wanted.stage, wanted.key)
            if manifest is None:
                return found
            found[wanted.key] = manifest

    async def _progress(
        self, expert: CodeExpert, status: CodeExpertStatus
    ) -> dict[str, ProgressReport]:
        for entry in status.stages:
            if entry.name is Task.TRAIN and entry.state is StageState.RUNNING and entry.key:
                report = await self._lookup.progress(expert.metadata.namespace, entry.key)
                return {} if report is None else {entry.key: report}
        return {}

    def _servers(self, namespace: str) -> tuple[ObservedServer, ...]:
        known = self._watched.namespaces.named(namespace)
        labels = known.value if known is not None else {}
        return tuple(
            ObservedServer(
                server=entry.value.server,
                status=entry.value.status,
                admits=matches(entry.value.server.spec.allowed_namespaces.selector, labels),
                bound=frozenset(
                    f"{one.namespace}/{one.name}"
                    for one in self._watched.experts.tagged(BoundTo(entry.name))
                ),
                ready_replicas=entry.value.status.ready_replicas,
                replicas=self._watched.reports.get(entry.name, ()),
                url=entry.value.status.url,
            )
            for entry in self._watched.servers.all()
        )


def _at_work(job: ObservedJob) -> bool:
    """Tell whether a Job has not ended, so that its artifact is not there yet."""
    return job.outcome in (JobOutcome.ACTIVE, JobOutcome.SUSPENDED)
