"""Serve experts on this machine: the engine and the agent in this process, until told to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.parameters import InferenceConfig
from nanodex.api.progress import Progress, Silent
from nanodex.api.reasons import Reason
from nanodex.config import default_cache
from nanodex.errors import Interrupted, UserError
from nanodex.inference.desired import desired_for, write_desired
from nanodex.inference.engine_log import STEPS, read_from, start_step
from nanodex.inference.state import Launch, ServerInfo, StateFolder, read_model, write_model

if TYPE_CHECKING:
    from nanodex.inference.supervisor import Supervisor

log = logging.getLogger(__name__)
_LOOK_EVERY_SECONDS = 0.2


def serve(
    config: InferenceConfig,
    *,
    base_model: Path,
    experts: Sequence[ServedExpert],
    state: Path,
    on_ready: Callable[[ServerInfo], None],
    progress: Progress | None = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code.

    Args:
        config: engine and agent.
        base_model: folder of the base model, safetensors.
        experts: what to serve.
        state: folder of this server; one server at a time.
        on_ready: called once requests are answered; experts that were refused are in
            `ServerInfo.quarantined`.
        progress: told what vLLM does while it starts.

    Raises:
        UserError: the port or the state folder is taken, or the base model cannot be served.
        TryAgain: the engine did not start.
        Interrupted: stopped before it was ready.
    """
    stop = threading.Event()
    progress = _StoppedBySignal(progress or Silent(), stop)
    with (
        _signals(stop),
        _Running(
            config, base_model=base_model, experts=experts, state=state, progress=progress
        ) as running,
    ):
        on_ready(running.info)
        while not stop.wait(_LOOK_EVERY_SECONDS):
            running.raise_if_ended()
        log.info("draining")
    return 0


@contextlib.contextmanager
def running_server(
    config: InferenceConfig,
    *,
    base_model: Path,
    experts: Sequence[ServedExpert],
    state: Path,
    progress: Progress | None = None,
) -> Iterator[ServerInfo]:
    """Serve while the block runs.

    Raises:
        UserError, TryAgain, Interrupted: as `serve`.
    """
    with _Running(
        config,
        base_model=base_model,
        experts=experts,
        state=state,
        progress=progress or Silent(),
    ) as running:
        yield running.info


class _Running:
    """A supervisor on an event loop in a thread of its own, so that the caller keeps signals."""

    def __init__(
        self,
        config: InferenceConfig,
        *,
        base_model: Path,
        experts: Sequence[ServedExpert],
        state: Path,
        progress: Progress,
    ) -> None:
        self._config = config
        self._base_model = base_model.resolve()
        self._experts = tuple(experts)
        self._state = StateFolder(state.resolve())
        self._progress = progress
        self._ready: Future[ServerInfo] = Future()
        self._ended: Future[None] = Future()
        self._stop_asked = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: Supervisor | None = None
        self._cleanup = contextlib.ExitStack()
        self._log_start = 0

    @property
    def info(self) -> ServerInfo:
        """Where the server is."""
        return self._ready.result()

    def raise_if_ended(self) -> None:
        """Raise what ended the server, if something did."""
        if self._ended.done():
            self._ended.result()

    def __enter__(self) -> "_Running":
        try:
            self._cleanup.enter_context(self._state.locked())
            listener = self._cleanup.enter_context(listen(self._config))
            for stale in (self._state.server, self._state.status, self._state.failure):
                stale.unlink(missing_ok=True)
            write_model(
                self._state.launch, Launch(config=self._config, base_model=self._base_model)
            )
            before = read_model(self._state.desired, DesiredSet)
            desired = desired_for(DesiredSet(experts=self._experts), newer_than=before)
            write_desired(self._state.desired, desired)
            with contextlib.suppress(FileNotFoundError):
                self._log_start = self._state.engine_log.stat().st_size
            thread = threading.Thread(target=self._run, args=(listener,), name="nanodex-server")
            thread.start()
            self._cleanup.callback(thread.join)
            self._cleanup.callback(self._stop)
            self._wait_ready()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
        finally:
            self._state.server.unlink(missing_ok=True)

    async def _serve(self, listener: socket.socket) -> None:
        # Whoever only asks or looks for a server needs neither starlette nor uvicorn.
        from nanodex.inference.supervisor import Plan, Supervisor

        self._supervisor = Supervisor(
            Plan(
                config=self._config,
                base_model=self._base_model,
                state=self._state,
                listener=listener,
                cache=default_cache(),
                on_wait=self._say_what_it_waits_for,
                on_ready=self._ready.set_result,
            )
        )
        self._loop = asyncio.get_running_loop()
        # Asked between the start of the thread and here.
        if self._stop_asked.is_set():
            self._supervisor.stop()
        await self._supervisor.run()

    def _say_what_it_waits_for(self, waited: float) -> None:
        done, step = start_step(read_from(self._state.engine_log, self._log_start))
        self._progress.update(
            done, len(STEPS), unit="steps", message=f"vLLM: {step}", seconds=round(waited, 1)
        )

    def _wait_ready(self) -> None:
        while not self._ready.done():
            self.raise_if_ended()
            if self._progress.stopping:
                raise Interrupted(
                    "stopped while vLLM was starting",
                    reason=Reason.INTERRUPTED,
                    hint="start it again; nothing was lost",
                )
            time.sleep(_LOOK_EVERY_SECONDS)

    def _stop(self) -> None:
        self._stop_asked.set()
        if self._loop is not None and self._supervisor is not None:
            # The loop may have ended by itself.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._supervisor.stop)


def listen(config: InferenceConfig) -> contextlib.AbstractContextManager[socket.socket]:
    """Bind the agent's port, at once: a taken port is found before vLLM's minute of starting.

    Raises:
        UserError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=512)
    except OSError as error:
        raise UserError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror or error}",
            reason=Reason.INVALID_INPUT,
            hint="choose another port, or 0 for any free one",
        ) from error


class _StoppedBySignal:
    """Progress that is also stopping once a signal came."""

    def __init__(self, inner: Progress, stop: threading.Event) -> None:
        self._inner = inner
        self._stop = stop

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        """Pass it on."""
        self._inner.update(done, total, unit=unit, message=message, **figures)

    @property
    def stopping(self) -> bool:
        """Whether a signal came or the caller is stopping."""
        return self._stop.is_set() or self._inner.stopping


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def handle(_: int, __: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
