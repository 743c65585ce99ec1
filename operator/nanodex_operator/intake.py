"""Takes in what the watches show: into the caches, and whom it matters to into the queue."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from nanodex_operator.cache import Cache, Entry
from nanodex_operator.cluster import Cluster
from nanodex_operator.controller import Controller
from nanodex_operator.documents import SeenExpert
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, MODEL_SERVERS, NAMESPACES, PODS
from nanodex_operator.manifests.metadata import EXPERT_LABEL
from nanodex_operator.queue import WorkQueue
from nanodex_operator.readings import Object
from nanodex_operator.watched import ExpertKey, Watched, expert_of

Child = TypeVar("Child")


class Intake:
    """What becomes of the events of each kind.

    `see_...` takes an object that is there, `lose_...` one that is gone for ever.

    Args:
        watched: the caches.
        controller: is told which CodeExpert is gone.
        queue: of CodeExperts, is woken.
        servers: queue of ModelServers, by name; is woken.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        controller: Controller,
        queue: WorkQueue[ExpertKey],
        servers: WorkQueue[str],
    ) -> None:
        self._watched = watched
        self._controller = controller
        self._queue = queue
        self._servers = servers

    async def fill(self, cluster: Cluster, *, namespaces: Sequence[str]) -> None:
        """Take in all that there is, so that the first reconcile sees the world whole.

        kopf can wait for that, too, but each of its objects then wakes all others: time grows with
        the square of their number.

        Args:
            cluster: is asked.
            namespaces: those that are watched; none: all.

        Raises:
            ClusterError: not everything could be listed; again is fine.
        """
        everywhere = ("",)
        inside = tuple(namespaces) or everywhere
        for resource, labels, places, see in (
            (NAMESPACES, "", everywhere, self.see_namespace),
            (MODEL_SERVERS, "", everywhere, self.see_server),
            (CODE_EXPERTS, "", inside, self.see_expert),
            (JOBS, EXPERT_LABEL, inside, self.see_job),
            (PODS, EXPERT_LABEL, inside, self.see_pod),
        ):
            for place in places:
                async for thing in cluster.list_all(resource, namespace=place, labels=labels):
                    see(thing)

    def see_expert(self, thing: Object) -> None:
        """Take in a CodeExpert."""
        metadata = thing["metadata"]
        before = self._watched.experts.get(metadata["uid"])
        if self._watched.experts.put(thing):
            self._queue.wake(ExpertKey(metadata["namespace"], metadata["name"]))
            self._wake_servers_of(before, self._watched.experts.get(metadata["uid"]))

    def lose_expert(self, thing: Object) -> None:
        """Forget a CodeExpert; its last status says what it made."""
        self._watched.experts.put(thing)
        entry = self._watched.experts.drop(thing["metadata"]["uid"])
        if entry is not None:
            self._queue.wake(self._controller.gone(entry))
            self._wake_servers_of(entry)

    def see_job(self, thing: Object) -> None:
        """Take in a Job."""
        self._see_child(thing, self._watched.jobs)

    def lose_job(self, thing: Object) -> None:
        """Forget a Job."""
        self._lose_child(thing, self._watched.jobs)

    def see_pod(self, thing: Object) -> None:
        """Take in a Pod."""
        self._see_child(thing, self._watched.pods)

    def lose_pod(self, thing: Object) -> None:
        """Forget a Pod."""
        self._lose_child(thing, self._watched.pods)

    def see_server(self, thing: Object) -> None:
        """Take in a ModelServer."""
        name = thing["metadata"]["name"]
        before = self._watched.servers.named(name)
        if self._watched.servers.put(thing):
            after = self._watched.servers.named(name)
            self._wake(self._watched.woken_by_server(before, after))
            self._servers.wake(name)

    def lose_server(self, thing: Object) -> None:
        """Forget a ModelServer."""
        before = self._watched.servers.drop(thing["metadata"]["uid"])
        self._wake(self._watched.woken_by_server(before, None))
        self._servers.wake(thing["metadata"]["name"])

    def see_namespace(self, thing: Object) -> None:
        """Take in the labels of a namespace."""
        if self._watched.namespaces.put(thing):
            self._wake(self._watched.woken_by_namespace(thing["metadata"]["name"]))
            # Whom a server admits is decided by these labels.
            for server in self._watched.servers.all():
                self._servers.wake(server.name)

    def lose_namespace(self, thing: Object) -> None:
        """Forget a namespace; what was in it is reported by itself."""
        self._watched.namespaces.drop(thing["metadata"]["uid"])

    def _see_child(self, thing: Object, cache: Cache[Child]) -> None:
        if cache.put(thing):
            self._wake_owner(thing)

    def _lose_child(self, thing: Object, cache: Cache[Child]) -> None:
        if cache.drop(thing["metadata"]["uid"]) is not None:
            self._wake_owner(thing)

    def _wake_owner(self, thing: Object) -> None:
        key = expert_of(thing)
        if key is not None:
            self._queue.wake(key)

    def _wake_servers_of(self, *entries: Entry[SeenExpert] | None) -> None:
        for name in {name for entry in entries for name in self._watched.servers_of(entry)}:
            self._servers.wake(name)

    def _wake(self, keys: Iterable[ExpertKey]) -> None:
        for key in keys:
            self._queue.wake(key)
