"""Which public model means which adapter in the engine, right now.

The synchroniser publishes, the agent asks. Only adapters that were proved are ever in here as
routes; a model that is known but not in the engine is waited for, within bounds, and the wait is
what brings it back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from nanodex.api.agent_report import AdapterReport, AgentReport, EngineState
from nanodex.api.desired import BASE_MODEL_NAME

# Requests that may wait at the same time, and bytes of their bodies: decoded, they may take twenty
# times as much. For how long: for an adapter, for an engine that starts.
MAX_WAITING = 128
MAX_WAITING_BYTES = 16 << 20
WAIT_SECONDS = 20.0
START_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Route:
    """How requests for one public model reach the engine."""

    # Name that answers carry: the pinned name, so that a client sees which version spoke.
    public_name: str
    engine_name: str
    # System message that the adapter was trained with; empty for the base model.
    system: str = ""
    # What the answer comes from; empty for the base model.
    digest: str = ""
    commit: str = ""


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a known model cannot answer, and seconds until another try; None: none is worth it."""

    message: str
    retry_after: int | None


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
    # Requests are still answered, but no more of them shall come.
    leaving: bool = False
    generation: int = 0
    content_hash: str = ""
    base_model: str = ""
    base_model_revision: str = ""
    restarts: int = 0
    message: str = ""
    # By public name: bare names, pinned names.
    routes: Mapping[str, Route] = field(default_factory=dict)
    # The routes and what comes back when it is asked for.
    catalogue: Mapping[str, Route] = field(default_factory=dict)
    adapters: tuple[AdapterReport, ...] = ()
    # Names that the desired set holds and that have no route, with what stands in their way.
    waiting: Mapping[str, Obstacle | None] = field(default_factory=dict)
    in_flight: Counter[str] = field(default_factory=Counter)
    # Engine names, with the end of their last request.
    last_used: dict[str, float] = field(default_factory=dict)
    # Public names that requests wait for.
    asked: Counter[str] = field(default_factory=Counter)
    waiting_bytes: int = 0
    # Set when somebody begins to wait; whoever looks clears it.
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    clock: Callable[[], float] = time.monotonic
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """Wake everybody who waits for a model."""
        self._changed.set()
        self._changed = asyncio.Event()

    def report(self) -> AgentReport:
        """The state as a value."""
        return AgentReport(
            generation=self.generation,
            content_hash=self.content_hash,
            engine=self.engine,
            restarts=self.restarts,
            message=self.message,
            base_model=self.base_model,
            base_model_revision=self.base_model_revision,
            adapters=self.adapters,
        )

    def models(self) -> tuple[str, ...]:
        """Public names that answer, the base model first."""
        return (BASE_MODEL_NAME, *sorted({**self.catalogue, **self.routes}))

    def route(self, model: str) -> Route | None:
        """The route of a public model; None for one that is on its way.

        While the engine starts, all of them are.

        Raises:
            UnknownModel: nothing of this name is or will be served.
            NotReady: known, and not worth waiting for.
        """
        if self.engine is EngineState.DRAINING:
            raise NotReady("the server is stopping", retry_after=5)
        known = model == BASE_MODEL_NAME or model in self.routes
        if self.engine is EngineState.STARTING:
            if known or model in self.waiting:
                return None
            raise UnknownModel(model)
        if model == BASE_MODEL_NAME:
            return BASE_ROUTE
        if route := self.routes.get(model):
            return route
        if model not in self.waiting:
            raise UnknownModel(model)
        if obstacle := self.waiting[model]:
            raise NotReady(obstacle.message, retry_after=obstacle.retry_after)
        return None

    async def arrival(self, model: str, *, since: float, size: int = 0) -> None:
        """Return when a model that is on its way has a route, or something stands in its way.

        Args:
            model: its public name.
            since: when the request came, by the event loop: it waits no longer than an engine may
                take.
            size: bytes that are kept meanwhile.

        Raises:
            UnknownModel: it will not be served any more.
            NotReady: it did not come in time, or too many wait.
        """
        if self.asked.total() >= MAX_WAITING or self.waiting_bytes + size > MAX_WAITING_BYTES:
            raise self._not_yet(model)
        self.asked[model] += 1
        self.waiting_bytes += size
        self.wanted.set()
        loop = asyncio.get_running_loop()
        state, begun = self.engine, loop.time()
        try:
            async with asyncio.timeout(None) as limit:
                while self.route(model) is None:
                    if self.engine is not state:
                        state, begun = self.engine, loop.time()
                    longest = START_SECONDS if state is EngineState.STARTING else WAIT_SECONDS
                    limit.reschedule(min(begun + longest, since + START_SECONDS))
                    await self._changed.wait()
        except TimeoutError:
            raise self._not_yet(model) from None
        finally:
            self.waiting_bytes -= size
            self.asked[model] -= 1
            if not self.asked[model]:
                del self.asked[model]

    @contextmanager
    def using(self, route: Route) -> Iterator[None]:
        """Count a request: an adapter is unloaded only when nobody uses it."""
        self.in_flight[route.engine_name] += 1
        try:
            yield
        finally:
            self.in_flight[route.engine_name] -= 1
            self.last_used[route.engine_name] = self.clock()
            self._ended.set()
            if self.asked:
                # Somebody may get the place of this adapter.
                self.wanted.set()

    async def drained(self) -> None:
        """Return when no request is under way."""
        while self.in_flight.total():
            self._ended.clear()
            await self._ended.wait()

    def engine_is_away(self, why: str) -> None:
        """Send nobody to the engine until the synchroniser says that it answers."""
        self.message = why[:1024]
        if self.engine is EngineState.READY:
            self.engine = EngineState.STARTING
            self.changed()
            # The synchroniser looks at once.
            self.wanted.set()

    def engine_is_back(self) -> bool:
        """Send requests to the engine, unless the server stops; returns whether it is so."""
        if self.engine is EngineState.STARTING:
            self.engine = EngineState.READY
            self.message = ""
            self.changed()
        return self.engine is EngineState.READY

    def _not_yet(self, model: str) -> NotReady:
        if self.engine is EngineState.STARTING:
            return NotReady("the engine is starting", retry_after=15)
        return NotReady(f"{model} is being loaded", retry_after=5)
