"""Keeps one engine alive and converging, with the agent in front of it, until it is told to stop.

Everything here runs on one event loop. The agent listens before the engine is up; who asks waits
until the engine is healthy and a first pass was made.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.agent_report import AgentReport, EngineState
from nanodex.api.parameters import InferenceConfig
from nanodex.errors import NanodexError, UserError
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.base_shape import read_base_shape
from nanodex.inference.desired import read_desired
from nanodex.inference.directory import Directory
from nanodex.inference.engine import Engine
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.engine_command import build_engine_command, installed_device, parity_limit
from nanodex.inference.loading import Limits
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.placement import placed_folder, remove_placed
from nanodex.inference.residency import residency_of
from nanodex.inference.sources import FolderSource
from nanodex.inference.state import DRAIN_SECONDS, ServerInfo, StateFolder, write_model
from nanodex.inference.sync import Synchroniser
from nanodex.inference.web import web_server

log = logging.getLogger(__name__)

# An engine that was up this long starts again at once; one that keeps dying is waited for.
_STEADY_SECONDS = 60.0
_MAX_BACKOFF_SECONDS = 60.0
# An engine that answers nothing for this long is ended and started anew.
_HANG_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one server is made of."""

    config: InferenceConfig
    base_model: Path
    state: StateFolder
    listener: socket.socket
    cache: Path
    # Called on the event loop: seconds waited for the engine's first start.
    on_wait: Callable[[float], None]
    # Called on the event loop once requests are answered.
    on_ready: Callable[[ServerInfo], None]


class Supervisor:
    """One engine and one agent."""

    def __init__(self, plan: Plan) -> None:
        config = plan.config
        base = read_base_shape(plan.base_model)
        command = build_engine_command(
            config,
            base_model=plan.base_model,
            shape=base.cache,
            device=installed_device(),
            socket=plan.state.socket,
            inherited=os.environ,
            cache=plan.cache,
        )
        self._plan = plan
        self._engine = Engine(command, log=plan.state.engine_log)
        self._client = EngineClient(command.socket)
        self._directory = Directory()
        self._metrics = AgentMetrics()
        self._sync = Synchroniser(
            self._client,
            directory=self._directory,
            source=FolderSource(plan.state.adapters),
            residency=residency_of(command.device, self._client),
            root=plan.state.adapters,
            limits=Limits(
                linear=base.linear,
                max_rank=config.max_rank,
                parity=parity_limit(config, command.dtype),
                resident=command.resident,
            ),
            metrics=self._metrics,
        )
        self._desired = read_desired(plan.state.desired)
        self._stopping = asyncio.Event()
        self._ready = False
        self._written: AgentReport | None = None

    def stop(self) -> None:
        """Begin to drain; on the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            TryAgain: the engine's first start failed.
            UserError: what was asked for cannot be served.
        """
        agent = Agent(engine=self._client, directory=self._directory, metrics=self._metrics)
        server = web_server(build_app(agent), drain_seconds=DRAIN_SECONDS)
        listening = asyncio.create_task(server.serve(sockets=[self._plan.listener]))
        keeping = asyncio.create_task(self._keep_engine())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({listening, keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._directory.engine = EngineState.DRAINING
            self._directory.changed()
            self._report()
            server.should_exit = True
            await listening
            for task in (keeping, stopping):
                task.cancel()
            await asyncio.wait({keeping, stopping})
            await self._engine.stop()
            await self._client.aclose()
        if not keeping.cancelled():
            keeping.result()

    async def _keep_engine(self) -> None:
        failures = 0
        while True:
            await self._start_engine()
            started = time.monotonic()
            why = await self._converge_while_alive()
            # Before the engine is touched: who asks now waits for the next.
            self._directory.engine_is_away(why)
            self._report()
            # Whatever it was, nothing is left that it could finish.
            await self._engine.stop(grace_seconds=0)
            self._directory.restarts += 1
            self._metrics.restarted()
            self._report()
            log.error("the engine is started anew: %s", why)
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures + 1
            if failures:
                await asyncio.sleep(min(_MAX_BACKOFF_SECONDS, 2.0 ** (failures - 1)))

    async def _start_engine(self) -> None:
        """Start until healthy; only the very first failure is the caller's."""
        failures = 0
        while True:
            self._sync.engine_is_empty(self._desired)
            kept = [placed_folder(self._plan.state.adapters, e) for e in self._desired.experts]
            await asyncio.to_thread(remove_placed, self._plan.state.adapters, keep=kept)
            await self._engine.start()
            try:
                await self._engine.wait_healthy(
                    self._client.healthy,
                    limit_seconds=self._plan.config.start_timeout_seconds,
                    on_wait=self._plan.on_wait,
                )
            except NanodexError as error:
                await self._engine.stop()
                if not self._ready:
                    raise
                failures += 1
                log.error("%s", error.message)
                await asyncio.sleep(min(_MAX_BACKOFF_SECONDS, 2.0**failures))
            else:
                return

    async def _converge_while_alive(self) -> str:
        """Make passes until the engine ends or must be ended; returns why."""
        # Side by side: a pass may wait long for an engine that is dead.
        ended = asyncio.create_task(self._engine.wait_ended(self._client.gone))
        passes = asyncio.create_task(self._converge())
        try:
            done, _ = await asyncio.wait({ended, passes}, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in (ended, passes):
                task.cancel()
            await asyncio.wait({ended, passes})

    async def _converge(self) -> str:
        """Make passes until the engine hangs; returns that it does."""
        answered = time.monotonic()
        while True:
            self._read_desired()
            self._directory.wanted.clear()
            try:
                more = await self._sync.converge(self._desired)
                answered = time.monotonic()
            except EngineUnreachable as error:
                log.warning("the engine does not answer: %s", error)
                if time.monotonic() - answered > _HANG_SECONDS:
                    return "it answered nothing for a minute"
            else:
                if more:
                    continue
                await self._become_ready()
            self._report()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._directory.wanted.wait(), float(self._plan.config.sync_seconds)
                )

    def _read_desired(self) -> None:
        try:
            self._desired = read_desired(self._plan.state.desired)
        except UserError as error:
            # What is served goes on being served.
            log.error("%s", error.message)

    async def _become_ready(self) -> None:
        if self._directory.engine is EngineState.STARTING:
            # The API of a dead core answers for some seconds, with its list of models too.
            if await self._client.healthy():
                self._directory.engine_is_back()
            self._report()
        if self._directory.engine is not EngineState.READY:
            return
        if not self._ready:
            self._ready = True
            self._plan.on_ready(self._info())

    def _info(self) -> ServerInfo:
        host, port = self._plan.listener.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        host = f"[{host}]" if ":" in host else host
        return ServerInfo(
            url=f"http://{host}:{port}",
            models=self._directory.models(),
            pid=os.getpid(),
            state=self._plan.state.root,
            adapters=self._directory.adapters,
        )

    def _report(self) -> None:
        status = self._directory.report()
        if status == self._written:
            return
        with contextlib.suppress(OSError):
            write_model(self._plan.state.status, status)
            if self._ready or status.engine is EngineState.READY:
                write_model(self._plan.state.server, self._info())
        self._written = status
