"""One reconcile of a CodeExpert: observe, plan, apply."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName, Task
from nanodex.api.status import CodeExpertStatus, Failure
from nanodex.errors import NanodexError
from nanodex_operator.apply import Applier, Target
from nanodex_operator.artifact_lookup import ArtifactLookup, Run
from nanodex_operator.attempt import attempt
from nanodex_operator.cache import Entry
from nanodex_operator.documents import InvalidSpec, SeenExpert, read_expert, read_status
from nanodex_operator.manifests.jobs import build_job
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.observe import Observer, utc_now
from nanodex_operator.plan import plan
from nanodex_operator.plan.failures import HINTS
from nanodex_operator.status import events, with_problem
from nanodex_operator.watched import ExpertKey, Refers, Watched

_log = logging.getLogger(__name__)


class Controller:
    """Reconciles CodeExperts.

    Args:
        observer: makes snapshots.
        applier: does what plans say.
        watched: the caches.
        lookup: the store.
        metrics: counts reconciles.
        now: time of day, UTC.
    """

    def __init__(
        self,
        *,
        observer: Observer,
        applier: Applier,
        watched: Watched,
        lookup: ArtifactLookup,
        metrics: OperatorMetrics,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._observer = observer
        self._applier = applier
        self._watched = watched
        self._lookup = lookup
        self._metrics = metrics
        self._now = now
        self._left: dict[ExpertKey, SeenExpert] = {}

    def gone(self, entry: Entry[SeenExpert]) -> ExpertKey:
        """Note that a CodeExpert was deleted; its key is to be reconciled once more."""
        key = ExpertKey(entry.namespace, entry.name)
        self._applier.forget(entry.uid)
        self._left[key] = entry.value
        return key

    async def reconcile(self, key: ExpertKey) -> float | None:
        """Bring one CodeExpert a step further.

        Returns:
            After how many seconds to look again; None: on the next event.

        Raises:
            Exception: it did not work and is to be tried again; why has been said.
        """
        return await attempt(self._reconcile(key), subject=str(key), metrics=self._metrics)

    async def _reconcile(self, key: ExpertKey) -> float | None:
        entry = self._watched.experts.named(key.name, namespace=key.namespace)
        left = self._left.get(key)
        if left is not None:
            # A new one of the same name may need what the old one made.
            if entry is None:
                await self._collect(left)
            self._left.pop(key, None)
        if entry is None:
            return None
        try:
            refused = self._applier.refused(entry.uid)
            snapshot = await self._observer.observe(entry, refused=refused)
        except InvalidSpec as error:
            reason = Reason.INVALID_SPEC
            problem = Failure(reason=reason, message=str(error), hint=HINTS[reason])
            await self._report(entry.value, problem, phase="Failed")
            return None
        except NanodexError as error:
            problem = Failure(
                reason=error.reason, message=error.message[:1024], hint=error.hint[:512]
            )
            await self._report(entry.value, problem, phase="Waiting")
            raise
        return await self._applier.apply(plan(snapshot, build=build_job), snapshot=snapshot)

    async def _report(self, seen: SeenExpert, problem: Failure, *, phase: str) -> None:
        """Write into the status why no plan could be made."""
        if seen.deleting:
            return
        before, now = read_status(seen), self._now()
        status = with_problem(before, problem, phase=phase, generation=seen.generation, now=now)
        if status == before:
            return
        target = Target(
            namespace=seen.namespace,
            name=seen.name,
            uid=seen.uid,
            version=seen.resource_version,
        )
        await self._applier.write_status(target, status, before=before)
        for event in events(before, status):
            await self._applier.say(event, target, now=now)

    async def _collect(self, seen: SeenExpert) -> None:
        """Remove the artifacts of a deleted CodeExpert, if it wanted that and nobody needs them.

        Best effort: without a finalizer, what is deleted while no operator runs is not collected,
        and a Job that publishes while it is being stopped leaves its artifact behind.
        """
        try:
            wanted = read_expert(seen).spec.artifacts.deletion_policy
        except InvalidSpec:
            return
        if wanted != "Delete":
            return
        runs = [
            (stage, key)
            for stage, key in dict.fromkeys(_runs_of(read_status(seen)))
            if not self._watched.experts.tagged(Refers(seen.namespace, key))
        ]
        removed = await self._lookup.remove(seen.namespace, runs)
        _log.info("%s/%s: removed %d artifacts", seen.namespace, seen.name, removed)


def _runs_of(status: CodeExpertStatus) -> Iterator[Run]:
    """Yield the runs whose artifacts a status names."""
    for entry in status.stages:
        if entry.name is not Task.RESOLVE and entry.key:
            yield StageName(entry.name.value), entry.key
    for adapter in (status.active, status.candidate, *status.history):
        if adapter is not None and adapter.key:
            yield StageName.TRAIN, adapter.key
