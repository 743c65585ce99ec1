"""Convergence: what the engine has becomes what the desired set says, and stays it.

Each pass compares the desired set with the engine's own list of models, by name and by folder;
loads what is missing; proves what was loaded; publishes routes; and only then unloads what nobody
uses.
A pass can be repeated at any time and after any failure.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.api.records import AdapterCard
from nanodex.errors import NanodexError
from nanodex.inference.adapter_files import check_adapter
from nanodex.inference.desired import DesiredSet, ServedExpert
from nanodex.inference.directory import AdapterState, AdapterStatus, Directory, Route
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.parity import ParityResult, decide, measure
from nanodex.inference.placement import place, placed_folder

log = logging.getLogger(__name__)
# Failures of the engine during the load of one adapter before the adapter is blamed.
_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an adapter is measured against."""

    linear: Mapping[str, tuple[int, int]]
    max_rank: int
    # Mean |difference| of log-probabilities, nats.
    parity: float
    # Adapters that one run of the engine may ever load; None: no limit.
    budget: int | None


@dataclass(frozen=True, kw_only=True)
class _Proven:
    expert: ServedExpert
    card: AdapterCard
    parity: ParityResult

    @property
    def route(self) -> Route:
        return Route(
            public_name=self.expert.pinned_name,
            engine_name=self.expert.engine_name,
            system=self.card.system,
        )


class Synchroniser:
    """Makes one engine serve the desired set."""

    def __init__(
        self,
        engine: EngineClient,
        *,
        directory: Directory,
        root: Path,
        limits: Limits,
        metrics: AgentMetrics,
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._root = root
        self._limits = limits
        self._metrics = metrics
        self._proven: dict[str, _Proven] = {}
        # Names that this run of the engine was ever asked to load; each may hold a slot.
        self._asked: set[str] = set()
        self._failed: Counter[ServedExpert] = Counter()
        # Versions that are not tried again, whatever happens to the engine.
        self._quarantine: dict[ServedExpert, AdapterStatus] = {}

    def engine_started(self, desired: DesiredSet) -> None:
        """Forget what the previous run of the engine had: a new one has nothing."""
        self._proven.clear()
        self._asked.clear()
        self._directory.routes = {}
        self._publish(desired, self._known(desired, {}), {})

    async def converge(self, desired: DesiredSet) -> bool:
        """Make one pass.

        Returns:
            Whether the engine must be started anew to make room (CPU build only).

        Raises:
            EngineUnreachable: the engine is down; nothing is lost, make another pass later.
        """
        present = await self._engine.models()
        statuses = self._known(desired, present)
        restart = False
        self._publish(desired, statuses, present)
        for expert in desired.experts:
            if statuses[expert].state is not AdapterState.PENDING:
                continue
            prepared = await self._prepare(expert)
            if isinstance(prepared, AdapterStatus):
                statuses[expert] = prepared
            elif not self._has_room(expert, present):
                restart = restart or self._would_fit(desired)
                statuses[expert] = _status(
                    expert,
                    AdapterState.PENDING,
                    Reason.SERVER_AT_CAPACITY,
                    "all adapter slots of this engine were used",
                )
            else:
                statuses[expert] = await self._load_or_count(expert, prepared)
                present = await self._engine.models()
            self._publish(desired, statuses, present)
        if not restart:
            await self._unload_unused(desired, present)
        return restart

    def _known(
        self, desired: DesiredSet, present: Mapping[str, str]
    ) -> dict[ServedExpert, AdapterStatus]:
        """The status of each version as it follows from earlier passes."""
        statuses = {}
        for expert in desired.experts:
            if expert in self._quarantine:
                statuses[expert] = self._quarantine[expert]
            elif self._is_served(expert, present):
                statuses[expert] = self._loaded(expert)
            else:
                statuses[expert] = _status(expert, AdapterState.PENDING)
        return statuses

    def _is_served(self, expert: ServedExpert, present: Mapping[str, str]) -> bool:
        known = present.get(expert.engine_name)
        return expert.engine_name in self._proven and known == str(
            placed_folder(self._root, expert)
        )

    def _has_room(self, expert: ServedExpert, present: Mapping[str, str]) -> bool:
        budget = self._limits.budget
        used = self._asked | set(present)
        return budget is None or expert.engine_name in used or len(used) < budget

    def _would_fit(self, desired: DesiredSet) -> bool:
        servable = sum(expert not in self._quarantine for expert in desired.experts)
        return self._limits.budget is None or servable <= self._limits.budget

    async def _prepare(self, expert: ServedExpert) -> AdapterCard | AdapterStatus:
        """Place and check the files of one version; its card, or why it is in quarantine."""
        try:
            folder = await asyncio.to_thread(place, expert, root=self._root)
            return await asyncio.to_thread(
                check_adapter, folder, linear=self._limits.linear, max_rank=self._limits.max_rank
            )
        except NanodexError as error:
            return self._put_in_quarantine(expert, error.reason, error.message)

    async def _load_or_count(self, expert: ServedExpert, card: AdapterCard) -> AdapterStatus:
        """Load one version; one that takes the engine down with it is not tried for ever.

        Raises:
            EngineUnreachable: the engine is down, or refused the prompts.
        """
        try:
            return await self._load(expert, card)
        except EngineUnreachable as error:
            self._failed[expert] += 1
            if self._failed[expert] >= _ATTEMPTS:
                message = f"the engine failed {_ATTEMPTS} times while loading it: {error}"
                self._put_in_quarantine(expert, Reason.LOAD_REJECTED, message)
            raise

    async def _load(self, expert: ServedExpert, card: AdapterCard) -> AdapterStatus:
        """Load and prove one version that was placed and checked."""
        self._proven.pop(expert.engine_name, None)
        folder = placed_folder(self._root, expert)
        present = await self._engine.models()
        if present.get(expert.engine_name, str(folder)) != str(folder):
            await self._engine.unload(expert.engine_name)
        self._asked.add(expert.engine_name)
        code, said = await self._engine.load(expert.engine_name, folder)
        present = await self._engine.models()
        if present.get(expert.engine_name) != str(folder):
            message = f"the engine did not load it (status {code}): {said}"
            return self._put_in_quarantine(expert, Reason.LOAD_REJECTED, message)
        measured = await measure(self._engine, expert.engine_name, card.parity)
        parity = decide(card.parity, measured, limit=self._limits.parity)
        if not parity.accepted:
            await self._engine.unload(expert.engine_name)
            return self._put_in_quarantine(expert, Reason.LOAD_REJECTED, parity.message, parity)
        self._proven[expert.engine_name] = _Proven(expert=expert, card=card, parity=parity)
        self._metrics.loaded(expert.name, "accepted")
        log.info("serving %s: %s", expert.pinned_name, parity.message)
        return self._loaded(expert)

    def _loaded(self, expert: ServedExpert) -> AdapterStatus:
        parity = self._proven[expert.engine_name].parity
        return _status(expert, AdapterState.LOADED, None, parity.message, parity)

    def _put_in_quarantine(
        self,
        expert: ServedExpert,
        reason: Reason,
        message: str,
        parity: ParityResult | None = None,
    ) -> AdapterStatus:
        log.error("%s is not served: %s: %s", expert.pinned_name, reason, message)
        self._metrics.loaded(expert.name, "refused")
        status = _status(expert, AdapterState.QUARANTINED, reason, message, parity)
        self._quarantine[expert] = status
        return status

    def _publish(
        self,
        desired: DesiredSet,
        statuses: Mapping[ServedExpert, AdapterStatus],
        present: Mapping[str, str],
    ) -> None:
        """Publish routes; a bare name keeps its old version until the new one is proved."""
        directory = self._directory
        routes: dict[str, Route] = {}
        waiting: dict[str, str] = {}
        for expert in desired.experts:
            names = [expert.pinned_name, *([expert.name] if expert.active else [])]
            if self._is_served(expert, present):
                routes |= dict.fromkeys(names, self._proven[expert.engine_name].route)
                continue
            previous = directory.routes.get(expert.name)
            if expert.active and previous is not None and previous.engine_name in present:
                routes[expert.name] = previous
            waiting |= dict.fromkeys(names, statuses[expert].message)
        directory.routes = routes
        directory.waiting = waiting
        directory.adapters = tuple(statuses[expert] for expert in desired.experts)
        directory.generation = desired.generation
        self._metrics.resident([route.public_name for route in routes.values()])
        directory.changed()

    async def _unload_unused(self, desired: DesiredSet, present: Mapping[str, str]) -> None:
        wanted = {
            expert.engine_name for expert in desired.experts if expert not in self._quarantine
        }
        wanted |= {route.engine_name for route in self._directory.routes.values()}
        for name in sorted(set(present) - wanted):
            if self._directory.in_flight[name] == 0:
                await self._engine.unload(name)
                self._proven.pop(name, None)
                log.info("unloaded %s", name)


def _status(
    expert: ServedExpert,
    state: AdapterState,
    reason: Reason | None = None,
    message: str = "",
    parity: ParityResult | None = None,
) -> AdapterStatus:
    return AdapterStatus(
        name=expert.name,
        digest=expert.digest,
        state=state,
        reason=reason,
        message=message[:1024],
        parity=parity,
    )
