"""Looks without a cause, now and then: is what the caches show still there, is anything due?

A watch that was down does not report what was deleted meanwhile, and kopf does not find it out.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from nanodex_operator.cache import Cache, Entry
from nanodex_operator.cluster import Cluster
from nanodex_operator.controller import Controller
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, MODEL_SERVERS, PODS, Resource
from nanodex_operator.manifests.metadata import EXPERT_LABEL
from nanodex_operator.queue import WorkQueue
from nanodex_operator.refusals import ClusterError
from nanodex_operator.watched import ExpertKey, Watched

# After a listing, watches may have missed something; the rest of it is awaited first.
SETTLE_SECONDS = 5.0

Value = TypeVar("Value")

_log = logging.getLogger(__name__)


class Resync:
    """The tick without a cause.

    Args:
        cluster: the API server.
        watched: the caches.
        controller: is told who is gone.
        queue: of CodeExperts, is woken.
        server_queue: of ModelServers, by name; is woken.
        namespaces: those that are watched; none: all.
        seconds: between two looks.
        chance: a number in [0, 1).
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        watched: Watched,
        controller: Controller,
        queue: WorkQueue[ExpertKey],
        server_queue: WorkQueue[str],
        namespaces: Sequence[str],
        seconds: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._cluster = cluster
        self._watched = watched
        self._controller = controller
        self._queue = queue
        self._server_queue = server_queue
        self._namespaces = tuple(namespaces) or ("",)
        self._seconds = seconds
        self._chance = chance
        self._listed = asyncio.Event()

    def listed(self) -> None:
        """Note that a watch began anew with a listing: compare soon."""
        self._listed.set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._listed.wait()
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                # Not all at once.
                for entry in self._watched.experts.all():
                    key = ExpertKey(entry.namespace, entry.name)
                    self._queue.wake(key, after=self._chance() * self._seconds / 2)
            self._listed.clear()
            try:
                await self.compare()
            except ClusterError as error:
                _log.warning("the caches could not be compared: %s", error)

    async def compare(self) -> None:
        """Forget what is in the caches and not in the cluster, and wake whom that matters to."""
        experts = await self._lost(CODE_EXPERTS, self._watched.experts)
        for expert in experts:
            self._queue.wake(self._controller.gone(expert))
            for name in self._watched.servers_of(expert):
                self._server_queue.wake(name)
        jobs = await self._lost(JOBS, self._watched.jobs, labels=EXPERT_LABEL)
        pods = await self._lost(PODS, self._watched.pods, labels=EXPERT_LABEL)
        owners = {tag for entry in jobs for tag in entry.tags}
        for pod in pods:
            for job in (self._watched.jobs.get(str(tag)) for tag in pod.tags):
                owners |= job.tags if job is not None else set()
        for owner in owners:
            entry = self._watched.experts.get(str(owner))
            if entry is not None:
                self._queue.wake(ExpertKey(entry.namespace, entry.name))
        known = self._watched.servers.uids()
        servers = self._watched.servers.keep_only(
            await self._cluster.list_uids(MODEL_SERVERS), known=known
        )
        for server in servers:
            self._server_queue.wake(server.name)
            for key in self._watched.woken_by_server(server, None):
                self._queue.wake(key)

    async def _lost(
        self, resource: Resource, cache: Cache[Value], *, labels: str = ""
    ) -> list[Entry[Value]]:
        known = cache.uids()
        listed: set[str] = set()
        for namespace in self._namespaces:
            listed |= await self._cluster.list_uids(resource, namespace=namespace, labels=labels)
        return cache.keep_only(listed, known=known)
