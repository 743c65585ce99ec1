"""One reconcile of a ModelServer: look at its children, ask its agents, plan, apply, write status.

Its children live in the operator's own namespace, which need not be among those that are watched:
they are read when they are needed, every two seconds while something is on its way and every thirty
otherwise.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from nanodex.api.code_expert import API_VERSION
from nanodex.api.keys import canonical_json
from nanodex.api.status import ModelServerStatus
from nanodex_operator.agents import Agents
from nanodex_operator.attempt import attempt
from nanodex_operator.cache import Entry
from nanodex_operator.cluster import Cluster
from nanodex_operator.documents import InvalidSpec, read_expert, read_status, write_status
from nanodex_operator.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    MODEL_SERVERS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
)
from nanodex_operator.manifests.engine_pod import selector, server_name
from nanodex_operator.manifests.events import build_event
from nanodex_operator.manifests.metadata import SET_GENERATION_ANNOTATION
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.observe import utc_now
from nanodex_operator.readings import Object, matches
from nanodex_operator.refusals import AlreadyExists, ClusterError, Conflict, NotFound
from nanodex_operator.server_readings import (
    addresses,
    behind,
    is_one,
    read_deployment,
    read_engine_pods,
    read_published,
)
from nanodex_operator.servers import BoundExpert, ServerPlan, ServerSnapshot, plan_server
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import Event
from nanodex_operator.watched import BoundTo, ExpertKey, SeenServer, Watched

_CHILDREN: Mapping[str, Resource] = {
    one.kind: one
    for one in (CONFIG_MAPS, SERVICES, DEPLOYMENTS, DISRUPTION_BUDGETS, NETWORK_POLICIES)
}
# What somebody else changed or deleted of the children is put right at the latest then.
_APPLY_AGAIN_SECONDS = 300.0

_log = logging.getLogger(__name__)


class ServerController:
    """Reconciles ModelServers.

    Args:
        cluster: the API server.
        agents: the agents of all servers.
        watched: the caches.
        settings: the operator's.
        metrics: counts reconciles.
        identity: of this process, for events.
        leading: whether this replica may write; asked before each write.
        wake: is told which CodeExpert to look at, because its replicas have changed.
        now: time of day, UTC.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        agents: Agents,
        watched: Watched,
        settings: Settings,
        metrics: OperatorMetrics,
        identity: str,
        leading: Callable[[], bool],
        wake: Callable[[ExpertKey], None],
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._agents = agents
        self._watched = watched
        self._settings = settings
        self._metrics = metrics
        self._identity = identity
        self._leading = leading
        self._wake = wake
        self._now = now
        self._clock = clock
        # By name of the server: what was applied, and when.
        self._applied: dict[str, tuple[str, float]] = {}

    async def reconcile(self, name: str) -> float | None:
        """Bring one ModelServer a step further.

        Returns:
            After how many seconds to look again; None: there is none of this name.

        Raises:
            Exception: it did not work and is to be tried again; why has been said.
        """
        return await attempt(
            self._reconcile(name), subject=f"ModelServer {name}", metrics=self._metrics
        )

    async def _reconcile(self, name: str) -> float | None:
        entry = self._watched.servers.named(name)
        if entry is None:
            self._watched.reports.pop(name, None)
            self._applied.pop(name, None)
            return None
        snapshot, pods = await self._observe(entry)
        self._publish(name, snapshot)
        plan = plan_server(snapshot)
        if not self._leading():
            return None
        await self._apply(plan, snapshot)
        for pod in behind(pods, names=plan.notify, generation=plan.set_generation):
            await self._notify(pod, plan.set_generation)
        if plan.status != snapshot.status:
            await self._write_status(plan.status, snapshot)
        for event in plan.events:
            await self._say(event, snapshot)
        return plan.again_after_seconds

    async def _observe(self, entry: Entry[SeenServer]) -> tuple[ServerSnapshot, tuple[Object, ...]]:
        seen, namespace = entry.value, self._settings.namespace
        child = server_name(seen.server)
        deployment = await self._find(DEPLOYMENTS, child)
        config_map = await self._find(CONFIG_MAPS, child)
        labels = ",".join(f"{key}={value}" for key, value in selector(seen.server).items())
        pods = await self._cluster.find_all(PODS, namespace=namespace, labels=labels)
        return ServerSnapshot(
            now=self._now(),
            server=seen.server,
            uid=entry.uid,
            generation=seen.generation,
            deleting=seen.deleting,
            status=seen.status,
            settings=self._settings,
            resource_version=entry.version,
            experts=self._experts(seen),
            published=read_published(config_map) if config_map is not None else None,
            deployment=read_deployment(deployment) if deployment is not None else None,
            pods=read_engine_pods(pods),
            one_pod=is_one(pods),
            replicas=await self._agents.ask(addresses(pods)),
        ), pods

    def _experts(self, seen: SeenServer) -> tuple[BoundExpert, ...]:
        allowed = seen.server.spec.allowed_namespaces.selector
        found = []
        for entry in self._watched.experts.tagged(BoundTo(seen.server.metadata.name)):
            if entry.value.deleting:
                continue
            labels = self._watched.namespaces.named(entry.namespace)
            try:
                expert = read_expert(entry.value)
            except InvalidSpec as error:
                # Its own status says so.
                _log.warning("%s/%s is not served: %s", entry.namespace, entry.name, error)
                continue
            found.append(
                BoundExpert(
                    expert=expert,
                    status=read_status(entry.value),
                    admitted=matches(allowed, labels.value if labels is not None else {}),
                )
            )
        return tuple(found)

    def _publish(self, name: str, snapshot: ServerSnapshot) -> None:
        """Let the CodeExperts see what the agents say: a version may take over when all have it."""
        before = self._watched.reports.get(name, ())
        self._watched.reports[name] = snapshot.replicas
        if before != snapshot.replicas:
            for entry in self._watched.experts.tagged(BoundTo(name)):
                self._wake(ExpertKey(entry.namespace, entry.name))

    async def _apply(self, plan: ServerPlan, snapshot: ServerSnapshot) -> None:
        """Apply the children, unless they were applied like this a moment ago and are there."""
        name = snapshot.server.metadata.name
        content, at = _content(plan), self._clock()
        known, since = self._applied.get(name, ("", 0.0))
        whole = snapshot.deployment is not None and snapshot.published is not None
        if whole and known == content and at - since < _APPLY_AGAIN_SECONDS:
            return
        for child in plan.children:
            await self._cluster.apply(
                _CHILDREN[child["kind"]], child, namespace=self._settings.namespace
            )
        if plan.children:
            self._applied[name] = (content, at)

    async def _notify(self, pod: Object, generation: int) -> None:
        metadata = pod["metadata"]
        patch = {"metadata": {"annotations": {SET_GENERATION_ANNOTATION: str(generation)}}}
        try:
            await self._cluster.merge(
                PODS,
                metadata["name"],
                patch,
                uid=metadata["uid"],
                namespace=self._settings.namespace,
            )
        except (NotFound, Conflict):
            # It is gone: there is nobody to be told.
            return

    async def _write_status(self, status: ModelServerStatus, snapshot: ServerSnapshot) -> None:
        document = {
            "apiVersion": API_VERSION,
            "kind": MODEL_SERVERS.kind,
            "metadata": {
                "name": snapshot.server.metadata.name,
                "uid": snapshot.uid,
                "resourceVersion": snapshot.resource_version,
            },
            "status": write_status(status),
        }
        written = await self._cluster.replace(MODEL_SERVERS, document, subresource="status")
        before = self._watched.servers.named(snapshot.server.metadata.name)
        if self._watched.servers.put(written):
            after = self._watched.servers.named(snapshot.server.metadata.name)
            for key in self._watched.woken_by_server(before, after):
                self._wake(key)

    async def _say(self, event: Event, snapshot: ServerSnapshot) -> None:
        """Create an Event; it is for people, so nothing waits for it."""
        # A ModelServer has no namespace; its Events are where its children are.
        namespace = self._settings.namespace
        manifest = build_event(
            event,
            regarding={
                "apiVersion": API_VERSION,
                "kind": MODEL_SERVERS.kind,
                "name": snapshot.server.metadata.name,
                "namespace": namespace,
                "uid": snapshot.uid,
                "resourceVersion": snapshot.resource_version,
            },
            instance=self._identity,
            now=snapshot.now,
        )
        try:
            await self._cluster.create(EVENTS, manifest, namespace=namespace)
        except AlreadyExists:
            return
        except ClusterError as error:
            _log.warning("an event was not written: %s", error)

    async def _find(self, resource: Resource, name: str) -> Object | None:
        try:
            return await self._cluster.get(resource, name, namespace=self._settings.namespace)
        except NotFound:
            return None


def _content(plan: ServerPlan) -> str:
    """Return a hash of the children, whatever versions they replace."""
    plain: list[dict[str, Any]] = [
        {
            **child,
            "metadata": {
                key: value for key, value in child["metadata"].items() if key != "resourceVersion"
            },
        }
        for child in plan.children
    ]
    return hashlib.sha256(canonical_json(plain)).hexdigest()
