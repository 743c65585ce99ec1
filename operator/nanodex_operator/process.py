"""The operator as a process: what starts after what, and what ends before what.

Wait for the CRDs, wait for the lease, watch, work; when the lease is lost, stop at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from nanodex.api.code_expert import API_VERSION
from nanodex.artifacts import open_store
from nanodex_operator.agents import Agents
from nanodex_operator.apart import run_apart
from nanodex_operator.apply import Applier
from nanodex_operator.artifact_lookup import ArtifactLookup
from nanodex_operator.cluster import Cluster
from nanodex_operator.controller import Controller
from nanodex_operator.endpoint import Endpoint, healthz
from nanodex_operator.intake import Intake
from nanodex_operator.kinds import CODE_EXPERTS, MODEL_SERVERS
from nanodex_operator.lease import Lease, LeaseLost
from nanodex_operator.main import serve
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.observe import Observer
from nanodex_operator.queue import WorkQueue
from nanodex_operator.refusals import ClusterError
from nanodex_operator.resync import Resync
from nanodex_operator.server_controller import ServerController
from nanodex_operator.server_pods import watch_server_pods
from nanodex_operator.settings import Settings
from nanodex_operator.watched import ExpertKey, Watched

# A worker that is stuck for longer than any reconcile may take will not come back.
_STUCK_SECONDS = 300.0
_GRACE_SECONDS = 10.0
# There is one for each base model; a slow agent must not hold up the other servers.
_SERVERS_AT_ONCE = 4
_CRD_SECONDS = 5.0
# A reconcile that waits for the store is tried again later; a worker is not held for it.
_STORE_PATIENCE_SECONDS = 10.0

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, environment: Mapping[str, str] = os.environ) -> int:
    """Be the operator until a signal comes; returns the exit code."""
    metrics = OperatorMetrics()
    # A container that was restarted need not wait for the lease that it left behind itself.
    identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        connect = partial(Cluster.connect, environment, metrics=metrics)
        cluster = await connect()
        stack.push_async_callback(cluster.close)
        lease = Lease(cluster, namespace=settings.namespace, identity=identity)
        operator = Operator(
            settings, cluster=cluster, lease=lease, connect=connect, metrics=metrics
        )
        stack.callback(operator.close)
        endpoints = {
            "/healthz": Endpoint(
                settings.health_port, routes={"/healthz": healthz(operator.problem)}
            ),
            "/metrics": Endpoint(
                settings.metrics_port,
                routes={"/metrics": lambda: (HTTPStatus.OK, metrics.text())},
            ),
        }
        for path, endpoint in endpoints.items():
            endpoint.start()
            stack.callback(endpoint.stop)
            _log.info("answering %s on port %d", path, endpoint.port)
        return await operator.run(stop)


class Operator:
    """All parts of one operator, put together.

    Args:
        settings: the operator's.
        cluster: the API server.
        lease: says whether this replica works.
        connect: makes another client of the API server, for another loop.
        metrics: of this process.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        cluster: Cluster,
        lease: Lease,
        connect: Callable[[], Awaitable[Cluster]],
        metrics: OperatorMetrics,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._lease = lease
        self._connect = connect
        self._metrics = metrics
        self._watched = Watched()
        self._lookup = ArtifactLookup(
            open_store(
                settings.store,
                endpoint=settings.store_endpoint or None,
                patience_seconds=_STORE_PATIENCE_SECONDS,
            ),
            metrics=metrics,
        )
        self._controller = Controller(
            observer=Observer(self._watched, lookup=self._lookup, settings=settings),
            applier=Applier(
                cluster,
                watched=self._watched,
                metrics=metrics,
                identity=lease.identity,
                leading=lambda: lease.held,
                wake_server=lambda name: self._servers.wake(name),
            ),
            watched=self._watched,
            lookup=self._lookup,
            metrics=metrics,
        )
        self._queue = WorkQueue[ExpertKey](
            self._controller.reconcile, concurrency=settings.concurrency
        )
        self._agents = Agents()
        self._servers = WorkQueue[str](
            ServerController(
                cluster,
                agents=self._agents,
                watched=self._watched,
                settings=settings,
                metrics=metrics,
                identity=lease.identity,
                leading=lambda: lease.held,
                wake=self._queue.wake,
            ).reconcile,
            concurrency=_SERVERS_AT_ONCE,
        )
        self._resync = Resync(
            cluster,
            watched=self._watched,
            controller=self._controller,
            queue=self._queue,
            server_queue=self._servers,
            namespaces=settings.watch_namespaces,
            seconds=settings.resync_seconds,
        )
        self._working = False
        self._failed = False
        metrics.ask_queue(depth=self._queue.depth, oldest=self._queue.oldest_age)
        metrics.ask_experts(self._watched.by_phase)

    def problem(self) -> str:
        """Return why this process should be restarted; empty if it should not."""
        silence = self._queue.silence() if self._working else self._lease.silence()
        what = "a worker looked for work" if self._working else "the lease was looked at"
        return f"{silence:.0f} s since {what}" if silence > _STUCK_SECONDS else ""

    def close(self) -> None:
        """Let go of what is not the loop's."""
        self._lookup.close()

    async def run(self, stop: asyncio.Event) -> int:
        """Work until `stop` is set; returns the exit code."""
        if not await _unless(stop, self._ready()):
            return 0
        self._metrics.leads(True)
        # Before kopf: when it ends, it ends every task that began after it.
        renewing = run_apart(self._renew, name="lease")
        holding = asyncio.create_task(self._supervise(renewing, stop), name="lease")
        resyncing = asyncio.create_task(self._supervise(self._resync.run(), stop), name="resync")
        seeing = asyncio.create_task(
            self._supervise(
                watch_server_pods(
                    self._cluster,
                    namespace=self._settings.namespace,
                    watched=self._watched,
                    wake=self._servers.wake,
                ),
                stop,
            ),
            name="server-pods",
        )
        self._queue.start()
        self._servers.start()
        intake = Intake(
            self._watched, controller=self._controller, queue=self._queue, servers=self._servers
        )
        try:
            if await _unless(stop, self._begin(intake)):
                await serve(
                    intake,
                    account=self._cluster.account,
                    settings=self._settings,
                    shown=self._shown,
                    stop=stop,
                )
        except Exception:
            _log.exception("the watches ended")
            self._failed = True
        grace = _GRACE_SECONDS if self._lease.held else 0
        await asyncio.gather(
            *(queue.stop(grace_seconds=grace) for queue in (self._queue, self._servers))
        )
        await self._agents.aclose()
        for task in (holding, resyncing, seeing):
            task.cancel()
        await asyncio.gather(holding, resyncing, seeing, return_exceptions=True)
        self._metrics.leads(False)
        await self._lease.release()
        return int(self._failed)

    async def _begin(self, intake: Intake) -> None:
        """Take in what there is, then let the workers work."""
        while True:
            try:
                await intake.fill(self._cluster, namespaces=self._settings.watch_namespaces)
                break
            except ClusterError as error:
                _log.warning("not everything could be listed: %s", error)
                await asyncio.sleep(_CRD_SECONDS)
        self._working = True
        self._queue.begin()
        self._servers.begin()

    def _shown(self, listed: bool) -> None:
        if listed:
            self._resync.listed()

    async def _ready(self) -> None:
        """Wait for the CRDs and the lease."""
        wanted = {CODE_EXPERTS.plural, MODEL_SERVERS.plural}
        while True:
            try:
                missing = wanted - await self._cluster.served(API_VERSION)
            except ClusterError as error:
                _log.warning("the API server cannot be asked for the CRDs: %s", error)
            else:
                if not missing:
                    break
                _log.warning("waiting for the CRDs of %s", ", ".join(sorted(missing)))
            await asyncio.sleep(_CRD_SECONDS)
        await self._lease.acquire()

    async def _renew(self) -> None:
        """Hold the lease, in a loop that has nothing else to do.

        Ours may be busy for longer than a lease lasts, when a watch begins with thousands of
        objects on a small share of a processor.
        """
        cluster = await self._connect()
        try:
            await self._lease.hold(through=cluster)
        finally:
            await cluster.close()

    async def _supervise(self, endless: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
        """Run what never ends; if it does, stop working at once and let a new process begin."""
        try:
            await endless
        except LeaseLost as error:
            _log.error("stopping: %s", error)
        except Exception:
            _log.exception("stopping: a bug of nanodex")
        self._failed = True
        stop.set()
        await asyncio.gather(
            *(queue.stop(grace_seconds=0) for queue in (self._queue, self._servers))
        )


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` unless `stop` is set meanwhile; return whether it was done."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if doing not in done:
        return False
    doing.result()
    return True
