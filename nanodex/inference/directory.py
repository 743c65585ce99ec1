"""Which public model means which adapter in the engine, right now.

The synchroniser publishes, the agent asks. Only adapters that were proved are ever in here as
routes; a model that is known but not loaded yet is waited for, within bounds.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.reasons import Reason
from nanodex.inference.desired import BASE_MODEL_NAME
from nanodex.inference.parity import ParityResult

# Requests that may wait for an adapter at the same time, and for how long each.
MAX_WAITING = 64
WAIT_SECONDS = 20.0


class AdapterState(StrEnum):
    """Where one version of an expert is on its way into the engine."""

    PENDING = "pending"
    LOADED = "loaded"
    QUARANTINED = "quarantined"


class AdapterStatus(Contract):
    """What the agent reports of one version of an expert."""

    name: str = Field(description="Public name, <namespace>/<name>.")
    digest: str
    state: AdapterState
    reason: Reason | None = None
    message: str = ""
    parity: ParityResult | None = None


class EngineState(StrEnum):
    """Whether requests can be answered."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class ServerStatus(Contract):
    """status.json: what is served, for operators and for the command line."""

    generation: int = Field(description="Generation of the desired set that was last looked at.")
    engine: EngineState
    restarts: int = 0
    message: str = ""
    adapters: tuple[AdapterStatus, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Route:
    """How requests for one public model reach the engine."""

    # Name that answers carry: the pinned name, so that a client sees which version spoke.
    public_name: str
    engine_name: str
    # System message that the adapter was trained with; empty for the base model.
    system: str = ""


BASE_ROUTE = Route(public_name=BASE_MODEL_NAME, engine_name=BASE_MODEL_NAME)


class UnknownModel(Exception):
    """No such model: neither served nor about to be."""


class NotReady(Exception):
    """The model is known and cannot answer now."""

    def __init__(self, message: str, *, retry_after: int | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass
class Directory:
    """The published state, shared by the synchroniser and the agent on one event loop."""

    engine: EngineState = EngineState.STARTING
    generation: int = 0
    restarts: int = 0
    message: str = ""
    # By public name: bare names, pinned names.
    routes: Mapping[str, Route] = field(default_factory=dict)
    adapters: tuple[AdapterStatus, ...] = ()
    # Names that the desired set holds, with what stands in their way: empty while they load.
    waiting: Mapping[str, str] = field(default_factory=dict)
    in_flight: Counter[str] = field(default_factory=Counter)
    _waiters: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """Wake everybody who waits for a model."""
        self._changed.set()
        self._changed = asyncio.Event()

    def status(self) -> ServerStatus:
        """The state as a value."""
        return ServerStatus(
            generation=self.generation,
            engine=self.engine,
            restarts=self.restarts,
            message=self.message,
            adapters=self.adapters,
        )

    def models(self) -> tuple[str, ...]:
        """Public names that answer now, the base model first."""
        return (BASE_MODEL_NAME, *sorted(self.routes))

    async def find(self, model: str) -> Route:
        """The route of a public model; waits a bounded time for one that is on its way.

        Raises:
            UnknownModel: nothing of this name is or will be served.
            NotReady: known, but not in time.
        """
        route = self._route(model)
        if route is not None:
            return route
        if self._waiters >= MAX_WAITING:
            raise NotReady(f"{model} is being loaded", retry_after=5)
        self._waiters += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while route is None:
                    await self._changed.wait()
                    route = self._route(model)
        except TimeoutError:
            raise NotReady(f"{model} is being loaded", retry_after=5) from None
        finally:
            self._waiters -= 1
        return route

    @contextmanager
    def using(self, route: Route) -> Iterator[None]:
        """Count a request: an adapter is unloaded only when nobody uses it."""
        self.in_flight[route.engine_name] += 1
        try:
            yield
        finally:
            self.in_flight[route.engine_name] -= 1

    def _route(self, model: str) -> Route | None:
        """The route, or None if it is worth waiting for."""
        if self.engine is EngineState.DRAINING:
            raise NotReady("the server is stopping", retry_after=5)
        known = model == BASE_MODEL_NAME or model in self.routes
        if self.engine is EngineState.STARTING:
            if known or model in self.waiting:
                raise NotReady("the engine is starting", retry_after=15)
            raise UnknownModel(model)
        if model == BASE_MODEL_NAME:
            return BASE_ROUTE
        if route := self.routes.get(model):
            return route
        if model not in self.waiting:
            raise UnknownModel(model)
        if obstacle := self.waiting[model]:
            raise NotReady(obstacle, retry_after=None)
        return None
