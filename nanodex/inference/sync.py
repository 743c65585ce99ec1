"""Convergence: what the engine has becomes what the desired set says, and stays it.

Each pass compares the desired set with the engine's own list of models, by name and by folder;
loads what is missing, the most urgent first; publishes routes; and only then unloads what nobody
wants. Where more is desired than fits, each version is proved once, the least used goes, and a
request brings it back. A pass can be repeated at any time and after any failure.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.agent_report import AdapterReport, AdapterState, ParityResult
from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.reasons import Reason
from nanodex.api.records import AdapterCard
from nanodex.errors import NanodexError, TryAgain
from nanodex.inference.adapter_files import check_adapter
from nanodex.inference.directory import Directory, Obstacle, Route
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.loading import Limits, Proof, Rejected, load_and_prove
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.placement import placed_folder
from nanodex.inference.residency import Residency, least_used
from nanodex.inference.sources import AdapterSource

log = logging.getLogger(__name__)

# Failures of the engine during the load of one adapter before the adapter is blamed.
_ATTEMPTS = 2
# Loads in one pass; between passes the desired set is read again.
_LOADS = 8
# After a failure that need not be the adapter's own: damaged bytes are repaired in the store.
_QUARANTINE_SECONDS = 600.0
_RETRY_AFTER_SECONDS = 15


@dataclass(frozen=True, kw_only=True)
class _Quarantined:
    report: AdapterReport
    until: float


class Synchroniser:
    """Makes one engine serve the desired set."""

    def __init__(
        self,
        engine: EngineClient,
        *,
        directory: Directory,
        source: AdapterSource,
        residency: Residency,
        root: Path,
        limits: Limits,
        metrics: AgentMetrics,
    ) -> None:
        self._engine = engine
        self._directory = directory
        self._source = source
        self._residency = residency
        self._root = root
        self._limits = limits
        self._metrics = metrics
        # By engine name; they outlive the engine, whose adapters do not.
        self._proofs: dict[str, Proof] = {}
        self._failed: Counter[str] = Counter()
        self._quarantine: dict[str, _Quarantined] = {}
        # What an unproved version waits for.
        self._obstacles: dict[str, AdapterReport] = {}
        self._wanted: DesiredSet | None = None

    def engine_is_empty(self, desired: DesiredSet) -> None:
        """Forget the routes of the previous run of the engine; what is desired is known already."""
        self._directory.routes = {}
        self._publish(desired, self._known(desired, {}), {})

    async def converge(self, desired: DesiredSet) -> bool:
        """Make one pass; returns whether there is more to do at once.

        Raises:
            EngineUnreachable: the engine is down; nothing is lost, make another pass later.
        """
        present = await self._look()
        statuses = self._known(desired, present)
        self._publish(desired, statuses, present)
        tried: set[ServedExpert] = set()
        while len(tried) < _LOADS:
            expert = self._next(statuses, present, tried=tried)
            if expert is None:
                break
            tried.add(expert)
            await self._bring(expert, desired)
            present = await self._look()
            statuses = self._known(desired, present)
            self._publish(desired, statuses, present)
        await self._unload_unwanted(desired, present)
        return self._next(statuses, present, tried=tried) is not None

    async def _look(self) -> dict[str, str]:
        """What the engine holds: the folder of each adapter, by engine name."""
        present = await self._engine.models()
        self._source.in_use([Path(folder) for folder in present.values()])
        return present

    def _known(
        self, desired: DesiredSet, present: Mapping[str, str]
    ) -> dict[ServedExpert, AdapterReport]:
        """The state of each version as it follows from earlier passes."""
        return {expert: self._known_of(expert, present) for expert in desired.experts}

    def _known_of(self, expert: ServedExpert, present: Mapping[str, str]) -> AdapterReport:
        quarantined = self._quarantined(expert)
        if quarantined is not None:
            return quarantined
        proof = self._proofs.get(expert.engine_name)
        if proof is None or proof.expert.digest != expert.digest:
            return self._obstacles.get(expert.engine_name) or _report(expert, AdapterState.PENDING)
        is_present = self._is_present(expert, present)
        state = AdapterState.LOADED if is_present else AdapterState.STANDBY
        return _report(expert, state, None, proof.parity.message, proof.parity)

    def _quarantined(self, expert: ServedExpert) -> AdapterReport | None:
        known = self._quarantine.get(_identity(expert))
        return known.report if known and self._directory.clock() < known.until else None

    def _is_present(self, expert: ServedExpert, present: Mapping[str, str]) -> bool:
        return present.get(expert.engine_name) == str(placed_folder(self._root, expert))

    def _next(
        self,
        statuses: Mapping[ServedExpert, AdapterReport],
        present: Mapping[str, str],
        *,
        tried: set[ServedExpert],
    ) -> ServedExpert | None:
        """The most urgent version that is not in the engine: asked for, unproved, or just away."""
        asked = self._directory.asked
        last_used = self._directory.last_used
        has_room = len(present) < self._limits.resident

        def urgency(expert: ServedExpert) -> tuple[int, float] | None:
            state = statuses[expert].state
            if state not in (AdapterState.PENDING, AdapterState.STANDBY) or expert in tried:
                return None
            if asked[expert.pinned_name] or (expert.active and asked[expert.name]):
                return 0, 0.0
            if state is AdapterState.PENDING:
                return (1 if expert.active else 2), 0.0
            return (3, -last_used.get(expert.engine_name, 0.0)) if has_room else None

        ranked = [(rank, expert) for expert in statuses if (rank := urgency(expert)) is not None]
        return min(ranked, key=lambda item: item[0])[1] if ranked else None

    async def _bring(self, expert: ServedExpert, desired: DesiredSet) -> None:
        """Get one version into the engine, or take note of what stands in its way.

        Raises:
            EngineUnreachable: the engine is down.
        """
        self._obstacles.pop(expert.engine_name, None)
        try:
            folder = await self._source.obtain(expert)
            if folder is None:
                return
            card = await asyncio.to_thread(
                check_adapter, folder, linear=self._limits.linear, max_rank=self._limits.max_rank
            )
        except NanodexError as error:
            passes = isinstance(error, TryAgain)
            if passes and error.reason is not Reason.DIGEST_MISMATCH:
                self._wait_for(expert, error.reason, error.message)
            else:
                self._put_in_quarantine(expert, error.reason, error.message, passes=passes)
            return
        if await self._make_room(expert, desired):
            await self._load(expert, card, folder)
        else:
            message = "every adapter in the engine is answering"
            self._wait_for(expert, Reason.SERVER_AT_CAPACITY, message)

    async def _load(self, expert: ServedExpert, card: AdapterCard, folder: Path) -> None:
        """Load one version that there is room for.

        Raises:
            EngineUnreachable: the engine is down, or refused the prompts.
        """
        try:
            proof = await load_and_prove(
                expert,
                card=card,
                folder=folder,
                engine=self._engine,
                residency=self._residency,
                limit=self._limits.parity,
            )
        except Rejected as error:
            self._put_in_quarantine(expert, Reason.LOAD_REJECTED, str(error), parity=error.parity)
            return
        except EngineUnreachable as error:
            # One that takes the engine down with it is not tried for ever.
            self._failed[expert.engine_name] += 1
            if self._failed[expert.engine_name] >= _ATTEMPTS:
                message = f"the engine failed {_ATTEMPTS} times while loading it: {error}"
                self._put_in_quarantine(expert, Reason.LOAD_REJECTED, message, passes=True)
            raise
        self._failed.pop(expert.engine_name, None)
        outcome = "restored" if expert.engine_name in self._proofs else "accepted"
        self._proofs[expert.engine_name] = proof
        # Whoever waits for it gets a moment to ask.
        self._directory.last_used[expert.engine_name] = self._directory.clock()
        self._metrics.loaded(expert.name, outcome)
        log.info("serving %s: %s", expert.pinned_name, proof.parity.message)

    async def _make_room(self, expert: ServedExpert, desired: DesiredSet) -> bool:
        """Unload the least used until one more fits; returns False if all are in use."""
        present = await self._engine.models()
        while await self._residency.count(present) >= self._limits.resident:
            present = await self._engine.models()
            if expert.engine_name in present:
                return True
            victim = least_used(
                present,
                in_flight=self._directory.in_flight,
                last_used=self._directory.last_used,
                kept=(),
                now=self._directory.clock(),
            )
            if victim is None:
                return False
            # Nobody is sent to it any more from here on.
            rest = {name: root for name, root in present.items() if name != victim}
            self._publish(desired, self._known(desired, rest), rest)
            await self._residency.unload(victim)
            log.info("unloaded %s to make room for %s", victim, expert.pinned_name)
            present = await self._engine.models()
        return True

    def _put_in_quarantine(
        self,
        expert: ServedExpert,
        reason: Reason,
        message: str,
        *,
        parity: ParityResult | None = None,
        passes: bool = False,
    ) -> None:
        log.error("%s is not served: %s: %s", expert.pinned_name, reason, message)
        self._metrics.loaded(expert.name, "refused")
        self._proofs.pop(expert.engine_name, None)
        self._failed.pop(expert.engine_name, None)
        report = _report(expert, AdapterState.QUARANTINED, reason, message, parity)
        until = self._directory.clock() + _QUARANTINE_SECONDS if passes else float("inf")
        self._quarantine[_identity(expert)] = _Quarantined(report=report, until=until)

    def _wait_for(self, expert: ServedExpert, reason: Reason, message: str) -> None:
        report = _report(expert, AdapterState.PENDING, reason, message)
        self._obstacles[expert.engine_name] = report

    def _publish(
        self,
        desired: DesiredSet,
        statuses: Mapping[ServedExpert, AdapterReport],
        present: Mapping[str, str],
    ) -> None:
        """Publish routes; a bare name keeps its old version until the new one is proved."""
        directory = self._directory
        routes: dict[str, Route] = {}
        catalogue: dict[str, Route] = {}
        waiting: dict[str, Obstacle | None] = {}
        for expert in desired.experts:
            names = [expert.pinned_name, *([expert.name] if expert.active else [])]
            report = statuses[expert]
            if report.state in (AdapterState.LOADED, AdapterState.STANDBY):
                own = dict.fromkeys(names, self._proofs[expert.engine_name].route)
                catalogue |= own
                if report.state is AdapterState.LOADED:
                    routes |= own
                    continue
            else:
                previous = directory.routes.get(expert.name)
                if expert.active and previous is not None and previous.engine_name in present:
                    routes[expert.name] = previous
            waiting |= dict.fromkeys(names, _obstacle(report))
        directory.routes = routes
        directory.catalogue = catalogue
        directory.waiting = waiting
        directory.adapters = tuple(statuses[expert] for expert in desired.experts)
        if desired is not self._wanted:
            self._wanted = desired
            directory.generation = desired.generation
            directory.content_hash = desired.content_hash
        self._metrics.resident([route.public_name for route in routes.values()])
        directory.changed()

    async def _unload_unwanted(self, desired: DesiredSet, present: Mapping[str, str]) -> None:
        wanted = {
            expert.engine_name for expert in desired.experts if self._quarantined(expert) is None
        }
        wanted |= {route.engine_name for route in self._directory.routes.values()}
        for name in sorted(set(present) - wanted):
            if self._directory.in_flight[name] == 0:
                await self._residency.unload(name)
                self._proofs.pop(name, None)
                log.info("unloaded %s", name)


def _identity(expert: ServedExpert) -> str:
    return f"{expert.name}@{expert.digest}"


def _obstacle(report: AdapterReport) -> Obstacle | None:
    if report.state is AdapterState.QUARANTINED:
        return Obstacle(message=report.message, retry_after=None)
    waits = report.reason in (None, Reason.SERVER_AT_CAPACITY)
    if report.state is AdapterState.PENDING and not waits:
        return Obstacle(message=report.message, retry_after=_RETRY_AFTER_SECONDS)
    return None


def _report(
    expert: ServedExpert,
    state: AdapterState,
    reason: Reason | None = None,
    message: str = "",
    parity: ParityResult | None = None,
) -> AdapterReport:
    return AdapterReport(
        name=expert.name,
        digest=expert.digest,
        state=state,
        active=expert.active,
        reason=reason,
        message=message[:1024],
        parity=parity,
    )
