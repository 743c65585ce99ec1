"""Does what a plan says: status over the version that was read, then the actions, then events.

Each step may be repeated, and each may find that the world has moved on: then the plan is dropped
and a new one made of what is there now.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nanodex.api.code_expert import API_VERSION
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus
from nanodex_operator.cache import Entry
from nanodex_operator.cluster import Cluster
from nanodex_operator.documents import write_status
from nanodex_operator.kinds import CODE_EXPERTS, EVENTS, JOBS, SERVICES
from nanodex_operator.manifests.events import build_event
from nanodex_operator.manifests.jobs import build_rendezvous
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.readings import controller_of
from nanodex_operator.refusals import AlreadyExists, ClusterError, Conflict, NotFound, Refused
from nanodex_operator.snapshot import (
    Action,
    CreateJob,
    DeleteJob,
    Event,
    Plan,
    Snapshot,
    SuspendJob,
)
from nanodex_operator.watched import Watched

# A Job of the same name that belonged to another CodeExpert is about to be collected.
_NAME_TAKEN_SECONDS = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """One version of a CodeExpert."""

    namespace: str
    name: str
    uid: str
    version: str


class NotLeading(Exception):
    """Another replica may work now; nothing was written."""


class Applier:
    """Writes to the API server, and what it answers into the caches.

    Args:
        cluster: the API server.
        watched: the caches.
        metrics: counts transitions.
        identity: of this process, for events.
        leading: whether this replica may write; asked before each write.
        wake_server: is told which ModelServer to look at, because it is to serve something else.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        watched: Watched,
        metrics: OperatorMetrics,
        identity: str,
        leading: Callable[[], bool],
        wake_server: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._wake_server = wake_server
        self._watched = watched
        self._metrics = metrics
        self._identity = identity
        self._leading = leading
        self._refused: dict[str, dict[str, str]] = {}

    def refused(self, uid: str) -> Mapping[str, str]:
        """Return the Jobs of a CodeExpert that were not accepted, with the API server's words."""
        return self._refused.get(uid, {})

    def forget(self, uid: str) -> None:
        """Forget a CodeExpert that is gone."""
        self._refused.pop(uid, None)

    async def apply(self, plan: Plan, *, snapshot: Snapshot) -> float | None:
        """Do what `plan` says.

        Returns:
            After how many seconds to look again; None: on the next event.

        Raises:
            Conflict: the snapshot was stale; nothing after that was done.
            NotFound: the CodeExpert is gone.
            NotLeading: another replica may work now.
        """
        again = [] if plan.again_after_seconds is None else [plan.again_after_seconds]
        if plan.status_first:
            await self._confirm(plan, snapshot)
        for action in plan.actions:
            sooner = await self._act(action, snapshot)
            if sooner is not None:
                again.append(sooner)
        if not plan.status_first and plan.status != snapshot.status:
            await self.write_status(_target(snapshot), plan.status, before=snapshot.status)
        for event in plan.events:
            await self.say(event, _target(snapshot), now=snapshot.now)
        return min(again, default=None)

    async def write_status(
        self, target: Target, status: CodeExpertStatus, *, before: CodeExpertStatus
    ) -> None:
        """Replace the status of one version of a CodeExpert.

        Raises:
            Conflict: there is a newer version.
            NotFound: the CodeExpert is gone.
            NotLeading: another replica may work now.
        """
        self._check()
        document = {
            "apiVersion": API_VERSION,
            "kind": CODE_EXPERTS.kind,
            "metadata": {
                "name": target.name,
                "namespace": target.namespace,
                "uid": target.uid,
                "resourceVersion": target.version,
            },
            "status": write_status(status),
        }
        written = await self._cluster.replace(
            CODE_EXPERTS, document, namespace=target.namespace, subresource="status"
        )
        self._watched.experts.put(written)
        # The watch will show nothing that is new here.
        for name in _to_serve_otherwise(before, status):
            self._wake_server(name)
        states = {entry.name: entry.state for entry in before.stages}
        for entry in status.stages:
            if states.get(entry.name) is not entry.state:
                self._metrics.moved(entry.name.value, state=entry.state.value)

    async def say(self, event: Event, target: Target, *, now: datetime) -> None:
        """Create an Event; it is for people, so nothing waits for it."""
        seen = self._watched.experts.named(target.name, namespace=target.namespace)
        manifest = build_event(
            event,
            regarding={
                "apiVersion": API_VERSION,
                "kind": CODE_EXPERTS.kind,
                "name": target.name,
                "namespace": target.namespace,
                "uid": target.uid,
                "resourceVersion": seen.version if seen is not None else target.version,
            },
            instance=self._identity,
            now=now,
        )
        try:
            await self._cluster.create(EVENTS, manifest, namespace=target.namespace)
        except AlreadyExists:
            return
        except ClusterError as error:
            _log.warning("an event was not written: %s", error)

    async def _confirm(self, plan: Plan, snapshot: Snapshot) -> None:
        """Make sure that the snapshot is of the present version, by writing over it if possible."""
        if plan.status != snapshot.status:
            await self.write_status(_target(snapshot), plan.status, before=snapshot.status)
            return
        metadata = snapshot.expert.metadata
        found = await self._cluster.get(CODE_EXPERTS, metadata.name, namespace=metadata.namespace)
        self._watched.experts.put(found)
        if found["metadata"]["resourceVersion"] != snapshot.resource_version:
            raise Conflict("there is a newer version than the one that was planned for", code=409)

    async def _act(self, action: Action, snapshot: Snapshot) -> float | None:
        self._check()
        match action:
            case CreateJob():
                return await self._create(action, snapshot)
            case DeleteJob():
                await self._delete(action.name, snapshot)
            case SuspendJob():
                job = self._job(action.name, snapshot)
                if job is not None:
                    written = await self._cluster.merge(
                        JOBS,
                        job.name,
                        {"spec": {"suspend": action.suspend}},
                        uid=job.uid,
                        namespace=job.namespace,
                    )
                    self._watched.jobs.put(written)
        return None

    async def _create(self, action: CreateJob, snapshot: Snapshot) -> float | None:
        namespace = snapshot.expert.metadata.namespace
        try:
            if action.task is Task.TRAIN:
                await self._create_rendezvous(snapshot)
            made = await self._cluster.create(JOBS, action.manifest, namespace=namespace)
        except AlreadyExists:
            return await self._adopt(action, snapshot)
        except Refused as error:
            return self._note_refusal(action.name, snapshot, error.message)
        self._accepted(action.name, snapshot)
        self._watched.jobs.put(made)
        _log.info("%s: created Job %s", snapshot.expert.model_name, action.name)
        return None

    async def _create_rendezvous(self, snapshot: Snapshot) -> None:
        service = build_rendezvous(expert=snapshot.expert, uid=snapshot.uid)
        if service is None:
            return
        namespace = snapshot.expert.metadata.namespace
        try:
            await self._cluster.create(SERVICES, service, namespace=namespace)
        except AlreadyExists:
            return

    async def _adopt(self, action: CreateJob, snapshot: Snapshot) -> float | None:
        """Take in a Job that is there already, unless it is somebody else's."""
        namespace = snapshot.expert.metadata.namespace
        try:
            found = await self._cluster.get(JOBS, action.name, namespace=namespace)
        except NotFound:
            return _NAME_TAKEN_SECONDS
        if controller_of(found) == snapshot.uid:
            self._accepted(action.name, snapshot)
            self._watched.jobs.put(found)
            return None
        if found["metadata"].get("deletionTimestamp") or controller_of(found):
            return _NAME_TAKEN_SECONDS
        taken = f"there is a Job {action.name} that nanodex did not make; delete it"
        return self._note_refusal(action.name, snapshot, taken)

    async def _delete(self, name: str, snapshot: Snapshot) -> None:
        namespace = snapshot.expert.metadata.namespace
        known = self._job(name, snapshot)
        uid = known.uid if known is not None else None
        if uid is None:
            # The status remembers a Job that the cache does not show.
            try:
                found = await self._cluster.get(JOBS, name, namespace=namespace)
            except NotFound:
                return
            self._watched.jobs.put(found)
            if controller_of(found) != snapshot.uid:
                return
            uid = found["metadata"]["uid"]
        await self._cluster.delete(JOBS, name, uid=uid, namespace=namespace)
        _log.info("%s: deleted Job %s", snapshot.expert.model_name, name)

    def _job(self, name: str, snapshot: Snapshot) -> Entry[Any] | None:
        entry = self._watched.jobs.named(name, namespace=snapshot.expert.metadata.namespace)
        return entry if entry is not None and snapshot.uid in entry.tags else None

    def _note_refusal(self, job: str, snapshot: Snapshot, message: str) -> float | None:
        refusals = self._refused.setdefault(snapshot.uid, {})
        news = refusals.get(job) != message
        refusals[job] = message
        if news:
            _log.warning("%s: Job %s: %s", snapshot.expert.model_name, job, message)
        # At once, so that the status says so; then as often as the plan wants.
        return 0.0 if news else None

    def _accepted(self, job: str, snapshot: Snapshot) -> None:
        refusals = self._refused.get(snapshot.uid, {})
        refusals.pop(job, None)

    def _check(self) -> None:
        if not self._leading():
            raise NotLeading


def _to_serve_otherwise(before: CodeExpertStatus, after: CodeExpertStatus) -> set[str]:
    """Return the ModelServers of which a CodeExpert wants something else than before."""

    def wants(status: CodeExpertStatus) -> tuple[object, ...]:
        return status.active, status.candidate, status.serving.server, status.serving.next_server

    if wants(before) == wants(after):
        return set()
    named = {
        name for one in (before, after) for name in (one.serving.server, one.serving.next_server)
    }
    return named - {""}


def _target(snapshot: Snapshot) -> Target:
    metadata = snapshot.expert.metadata
    return Target(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=snapshot.uid,
        version=snapshot.resource_version,
    )
