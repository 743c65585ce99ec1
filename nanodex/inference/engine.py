"""One vLLM process group: started, watched and stopped.

vLLM is several processes and leaves a Unix socket behind after any kind of stop, so an engine lives
in its own session, is always ended as a group, and an engine that outlived its agent is found again
by the record that is kept beside its socket.
"""

import asyncio
import contextlib
import os
import signal
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from nanodex.api.base import Contract
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import TryAgain, UserError
from nanodex.inference.desired import write_atomically
from nanodex.inference.engine_command import EngineCommand
from nanodex.inference.engine_log import tail

# struct sockaddr_un holds 108 bytes including the final zero.
_MAX_SOCKET_PATH = 107
_TERMINATE_SECONDS = 15.0
_HEALTH_EVERY_SECONDS = 0.25
# vLLM mostly ends by itself once its core is dead, and says why; with a call to it in flight never.
_GONE_SECONDS = 3.0
_LOOK_SECONDS = 1.0


class EngineRecord(Contract):
    """engine.json: which process was started; the time of its start tells it from a later one."""

    pid: int = Field(gt=1)
    created: float = Field(description="Start of the process, seconds since the epoch.")


class Engine:
    """A vLLM server behind a Unix socket."""

    def __init__(self, command: EngineCommand, *, log: Path) -> None:
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._members: list[psutil.Process] = []

    @property
    def record(self) -> Path:
        """Where the running process is written down."""
        return self._command.socket.with_name("engine.json")

    @property
    def pid(self) -> int | None:
        """Process id of the API server, None before the first start."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start vLLM in its own session; returns at once, long before it is healthy.

        Raises:
            UserError: the path of the socket is too long.
        """
        folder = prepare_socket_folder(self._command.socket)
        await asyncio.to_thread(end_leftover, self.record)
        self._command.socket.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command.argv,
                env=dict(self._command.environment),
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # One that has ended already leaves nothing to be ended later.
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(self._process.pid).create_time()
            record = EngineRecord(pid=self._process.pid, created=created)
            write_atomically(self.record, record.model_dump_json())

    async def wait_healthy(
        self,
        is_healthy: Callable[[], Awaitable[bool]],
        *,
        limit_seconds: float,
        on_wait: Callable[[float], None],
    ) -> None:
        """Wait until `is_healthy` says so, calling `on_wait` with the seconds waited so far.

        Raises:
            TryAgain: the process ended, or `limit_seconds` passed.
        """
        process = self._running()
        started = time.monotonic()
        while True:
            waited = time.monotonic() - started
            if process.returncode is not None:
                raise self._failure(f"vLLM ended with {process.returncode} while starting")
            if await is_healthy():
                return
            if waited > limit_seconds:
                raise self._failure(f"vLLM was not healthy after {limit_seconds:.0f} s")
            on_wait(waited)
            await asyncio.sleep(_HEALTH_EVERY_SECONDS)

    async def wait_ended(self, is_gone: Callable[[], Awaitable[bool]]) -> str:
        """Wait until the API server ends or is of no more use; returns which.

        Args:
            is_gone: whether the engine's core is dead or nobody listens.
        """
        process = self._running()
        gone_since: float | None = None
        while process.returncode is None:
            if not await is_gone():
                gone_since = None
            elif gone_since is None:
                gone_since = time.monotonic()
            elif time.monotonic() - gone_since > _GONE_SECONDS:
                return "its core is dead"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LOOK_SECONDS)
        return f"it ended with status {process.returncode}"

    async def stop(self, *, grace_seconds: float = _TERMINATE_SECONDS) -> None:
        """End all processes of the engine: SIGTERM, and SIGKILL to what is left of it."""
        process = self._process
        if process is None:
            return
        members = _members(process.pid)
        if process.returncode is None and grace_seconds:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_seconds)
        # Also after a crash: worker processes outlive a killed API server by seconds.
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        await asyncio.to_thread(_kill_and_wait, members)
        self._command.socket.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the engine was not started")
        return self._process

    def _failure(self, message: str) -> TryAgain:
        last = tail(self._log, lines=3)
        return TryAgain(
            f"{message}; its last words: {last}" if last else message,
            reason=Reason.SERVER_UNAVAILABLE,
            hint=f"read {self._log}; too little memory or too high a maxModelLen is usual",
            exit_code=ExitCode.SERVER_UNAVAILABLE,
        )


def prepare_socket_folder(socket: Path) -> Path:
    """Make the folder of the socket ours alone: vLLM's socket itself is open to everybody.

    Raises:
        UserError: the path does not fit into a socket address, or the folder is somebody else's.
    """
    if len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
        raise UserError(
            f"the path of the engine's socket is longer than {_MAX_SOCKET_PATH} bytes: {socket}",
            reason=Reason.INVALID_INPUT,
            hint="choose a state folder with a shorter path",
        )
    folder = socket.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise UserError(
            f"{folder} is not a folder of this user",
            reason=Reason.INVALID_INPUT,
            hint="choose another state folder",
        )
    folder.chmod(0o700)
    return folder


def end_leftover(record: Path) -> None:
    """End an engine that outlived its agent; blocking, seconds."""
    try:
        known = EngineRecord.model_validate_json(record.read_bytes())
        process = psutil.Process(known.pid)
        if abs(process.create_time() - known.created) > 1.0:
            return
        members = [process, *process.children(recursive=True)]
    except (OSError, ValidationError, psutil.NoSuchProcess):
        return
    _kill_and_wait(members)


def _members(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _kill_and_wait(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_TERMINATE_SECONDS)


def _signal_group(pid: int, number: signal.Signals) -> None:
    # The engine leads its own session, so its process group has its process id.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
