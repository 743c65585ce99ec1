"""The agent beside an engine in a Pod: it starts nothing, converges by itself, and drains.

Kubernetes keeps the engine alive and starts it after this process. What shall be served comes from
a mounted file, keys from a mounted folder, adapters from the store: the operator may be down.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp

from nanodex.api.agent_report import EngineState
from nanodex.api.desired import DesiredSet
from nanodex.api.engine_arguments import Device
from nanodex.artifacts import ObjectStore
from nanodex.inference.access import KeyFolder
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.base_shape import read_base_shape
from nanodex.inference.desired_file import DesiredFile
from nanodex.inference.directory import Directory
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.exact_paths import exact_app
from nanodex.inference.loading import Limits
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.refusals import Turns
from nanodex.inference.residency import residency_of
from nanodex.inference.shelf import Shelf
from nanodex.inference.sources import StoreSource
from nanodex.inference.sync import Synchroniser
from nanodex.inference.tokens import TokenAccess
from nanodex.inference.web import web_server

log = logging.getLogger(__name__)

_SYNC_SECONDS = 2.0
# While a request waits for an adapter to which there is no way yet.
_ASKED_SECONDS = 0.25
# A replica is not ready before its first adapters are; a store that is away does not keep it so.
_FIRST_SYNC_SECONDS = 120.0
_LOOK_FOR_DRAIN_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class PodPlan:
    """What one agent is made of.

    Attributes:
        desired: the mounted desired set.
        keys: folder of the mounted API keys.
        engine_socket: Unix socket of the engine.
        base_model: folder of the base model that the engine serves.
        base_model_uri: its address, for the report.
        base_model_revision: which one it is, for the report.
        store: where adapters come from.
        adapters: where their files are put for the engine.
        device: which build of vLLM runs.
        max_rank: highest rank that the engine takes.
        resident: adapters in the engine at once.
        parity_limit: highest mean |difference| of log-probabilities, nats.
        disk_bytes: files of adapters, all together.
        turns: requests of one client at the same time.
        public: listening socket for clients.
        private: listening socket for the operator, Prometheus and the kubelet.
        drain: file that appears when the Pod is about to end; it is removed when it may.
        settle_seconds: for how long requests may still come when the Pod is about to end.
        drain_seconds: for how long answers may then still take.
        token_reviews: address of who says whose a token of Kubernetes is; empty: keys alone.
    """

    desired: Path
    keys: Path
    engine_socket: Path
    base_model: Path
    base_model_uri: str
    base_model_revision: str
    store: ObjectStore
    adapters: Path
    device: Device
    max_rank: int
    resident: int
    parity_limit: float
    disk_bytes: int
    turns: int
    public: socket.socket
    private: socket.socket
    drain: Path
    settle_seconds: float = 5.0
    drain_seconds: float = 120.0
    token_reviews: str = ""


class PodAgent:
    """One agent; made and run on the event loop."""

    def __init__(self, plan: PodPlan) -> None:
        self._plan = plan
        self._engine = EngineClient(plan.engine_socket)
        self._directory = Directory(
            base_model=plan.base_model_uri, base_model_revision=plan.base_model_revision
        )
        self._metrics = AgentMetrics()
        self._keys = KeyFolder(plan.keys)
        self._desired = DesiredFile(plan.desired)
        shelf = Shelf(plan.adapters, budget_bytes=plan.disk_bytes)
        shelf.clear_unfinished()
        self._source = StoreSource(plan.store, shelf=shelf, on_done=self._directory.wanted.set)
        self._sync = Synchroniser(
            self._engine,
            directory=self._directory,
            source=self._source,
            residency=residency_of(plan.device, self._engine),
            root=plan.adapters,
            limits=Limits(
                linear=read_base_shape(plan.base_model).linear,
                max_rank=plan.max_rank,
                parity=plan.parity_limit,
                resident=plan.resident,
            ),
            metrics=self._metrics,
        )
        self._tokens = TokenAccess(plan.token_reviews) if plan.token_reviews else None
        self._agent = Agent(
            engine=self._engine,
            directory=self._directory,
            metrics=self._metrics,
            access=self._keys,
            turns=Turns(plan.turns),
            tokens=self._tokens,
        )
        self._stopping = asyncio.Event()
        self._healthy_since: float | None = None
        self._socket: tuple[int, int] | None = None

    def stop(self) -> None:
        """Begin to drain; on the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`; returns when requests in flight are answered."""
        self._plan.drain.unlink(missing_ok=True)
        public = web_server(build_app(self._agent), drain_seconds=5)
        private = web_server(self._private_app(), drain_seconds=1)
        serving = [
            asyncio.create_task(public.serve(sockets=[self._plan.public])),
            asyncio.create_task(private.serve(sockets=[self._plan.private])),
        ]
        working = [
            asyncio.create_task(self._keep_converging()),
            asyncio.create_task(self._drain_when_told()),
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([*serving, *working, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not self._directory.leaving:
                await self._drain(settle_seconds=0)
        finally:
            for task in (*working, stopping):
                task.cancel()
            public.should_exit = private.should_exit = True
            await asyncio.gather(*serving, *working, stopping, return_exceptions=True)
            await self._source.aclose()
            await self._engine.aclose()
            if self._tokens is not None:
                await self._tokens.aclose()
        for task in (*serving, *working):
            if not task.cancelled():
                task.result()

    async def _keep_converging(self) -> None:
        wanted = self._directory.wanted
        while True:
            wanted.clear()
            self._keys.reload()
            more = await self._converge()
            if not more:
                pause = _ASKED_SECONDS if self._directory.asked else _SYNC_SECONDS
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wanted.wait(), pause)

    async def _converge(self) -> bool:
        """Make one pass, if the engine is there; returns whether there is more to do at once."""
        desired = self._desired.read()
        if not await self._engine.healthy():
            self._engine_is_away("the engine does not answer", desired)
            return False
        if self._healthy_since is None:
            self._healthy_since = time.monotonic()
            self._count_restart()
        try:
            more = await self._sync.converge(desired)
        except EngineUnreachable as error:
            self._engine_is_away(str(error), desired)
            return False
        if not more or self._is_filled() or self._waited_enough():
            await self._become_ready(more=more)
        return more

    def _engine_is_away(self, why: str, desired: DesiredSet) -> None:
        if self._healthy_since is not None:
            log.warning("the engine is away: %s", why)
        self._healthy_since = None
        self._directory.engine_is_away(why)
        # Requests for what it will serve wait for it.
        self._sync.engine_is_empty(desired)

    def _count_restart(self) -> None:
        """An engine makes its socket anew when it starts."""
        with contextlib.suppress(OSError):
            status = self._plan.engine_socket.stat()
            seen = (status.st_ino, status.st_ctime_ns)
            if self._socket not in (None, seen):
                self._directory.restarts += 1
                self._metrics.restarted()
            self._socket = seen

    async def _become_ready(self, *, more: bool) -> None:
        waits = not more and self._source.busy and not self._waited_enough()
        if self._directory.engine is not EngineState.STARTING or waits:
            return
        # A pass takes a while: the core may have died meanwhile.
        if await self._engine.healthy() and self._directory.engine_is_back():
            log.info("ready")

    def _is_filled(self) -> bool:
        names = {route.engine_name for route in self._directory.routes.values()}
        return len(names) >= self._plan.resident

    def _waited_enough(self) -> bool:
        since = self._healthy_since
        return since is not None and time.monotonic() - since > _FIRST_SYNC_SECONDS

    async def _drain_when_told(self) -> None:
        while not self._plan.drain.exists():  # noqa: ASYNC110 - another container makes it
            await asyncio.sleep(_LOOK_FOR_DRAIN_SECONDS)
        await self._drain(settle_seconds=self._plan.settle_seconds)
        # The hooks of both containers wait for this; the signal comes when they have ended.
        self._plan.drain.unlink(missing_ok=True)
        await self._stopping.wait()

    async def _drain(self, *, settle_seconds: float) -> None:
        """Take no more requests, and wait until those in flight are answered."""
        log.info("draining: %d in flight", self._directory.in_flight.total())
        self._directory.leaving = True
        # Until everybody has heard that this replica leaves, requests still come.
        await asyncio.sleep(settle_seconds)
        self._directory.engine = EngineState.DRAINING
        self._directory.changed()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._directory.drained(), self._plan.drain_seconds)
        log.info("drained: %d in flight", self._directory.in_flight.total())

    def _private_app(self) -> ASGIApp:
        async def live(_: Request) -> Response:
            return Response("alive\n", media_type="text/plain")

        async def status(_: Request) -> Response:
            report = self._directory.report()
            return Response(report.model_dump_json(), media_type="application/json")

        return exact_app(
            [
                HttpRoute("/live", live, methods=["GET"]),
                HttpRoute("/status", status, methods=["GET"]),
                HttpRoute("/metrics", self._agent.all_metrics, methods=["GET"]),
            ]
        )


def run_pod_agent(plan: PodPlan) -> None:
    """Run an agent until SIGTERM or SIGINT; returns when requests in flight are answered.

    Raises:
        UserError: the base model cannot be read.
    """

    async def run() -> None:
        agent = PodAgent(plan)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, agent.stop)
        await agent.run()

    uvloop.run(run())
