"""A server that stays when the command that started it has ended.

`start_detached` finds a server that already runs with the same configuration and gives it the new
experts, which takes seconds; otherwise it starts one and waits until requests are answered.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nanodex.api.agent_report import AdapterState, AgentReport
from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.parameters import InferenceConfig
from nanodex.api.progress import Progress, Silent
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import Interrupted, NanodexError, TryAgain
from nanodex.inference.desired import desired_for, read_desired, write_desired
from nanodex.inference.engine_log import STEPS, read_from, start_step, tail
from nanodex.inference.state import (
    DRAIN_SECONDS,
    Failure,
    Launch,
    ServerInfo,
    StateFolder,
    read_model,
    write_model,
)

_LOOK_EVERY_SECONDS = 0.2
# Draining, then ending the engine's processes.
_STOP_SECONDS = DRAIN_SECONDS + 45.0
_ADOPT_SECONDS = 300.0


def start_detached(
    config: InferenceConfig,
    *,
    base_model: Path,
    experts: Sequence[ServedExpert],
    state: Path,
    progress: Progress | None = None,
) -> ServerInfo:
    """Have a server running in the background that serves `experts`; returns when it does.

    A server that runs from `state` with the same configuration and base model is kept and given the
    experts; any other is stopped and replaced.

    Raises:
        UserError, NotServable, TryAgain: the server did not start; its own reason and hint.
        Interrupted: `progress.stopping` was seen; the server was stopped.
    """
    folder = StateFolder(state.resolve())
    progress = progress or Silent()
    launch = Launch(config=config, base_model=base_model.resolve())
    desired = DesiredSet(experts=tuple(experts))
    if find_server(state) is not None and read_model(folder.launch, Launch) == launch:
        return _give(folder, desired, progress=progress)
    stop(state)
    folder.create()
    folder.failure.unlink(missing_ok=True)
    write_model(folder.launch, launch)
    write_desired(folder.desired, desired)
    log_start = folder.engine_log.stat().st_size if folder.engine_log.exists() else 0
    with folder.server_log.open("wb") as server_log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nanodex.inference", str(folder.root)],
            stdin=subprocess.DEVNULL,
            stdout=server_log,
            stderr=server_log,
            cwd=folder.root,
            start_new_session=True,
        )
    started = time.monotonic()
    while (info := find_server(state)) is None:
        if process.poll() is not None:
            raise _failure(folder, process.returncode)
        if progress.stopping:
            stop(state)
            process.terminate()
            process.wait()
            raise _interrupted()
        done, step = start_step(read_from(folder.engine_log, log_start))
        progress.update(
            done,
            len(STEPS),
            unit="steps",
            message=f"vLLM: {step}",
            seconds=round(time.monotonic() - started, 1),
        )
        time.sleep(_LOOK_EVERY_SECONDS)
    # It outlives this process; nobody here waits for it.
    process.returncode = 0
    return info


def find_server(state: Path) -> ServerInfo | None:
    """The server that runs from `state` and answers requests, None if there is none."""
    folder = StateFolder(state.resolve())
    info = read_model(folder.server, ServerInfo)
    return info if info is not None and folder.holder() == info.pid else None


def stop(state: Path) -> bool:
    """Stop the server that runs from `state`; returns whether there was one.

    Requests in flight are answered first. Blocks until its processes are gone.

    Raises:
        TryAgain: it does not end.
    """
    folder = StateFolder(state.resolve())
    pid = folder.holder()
    if pid is None:
        return False
    deadline = time.monotonic() + _STOP_SECONDS
    os.kill(pid, signal.SIGTERM)
    while folder.holder() == pid:
        if time.monotonic() > deadline:
            raise TryAgain(
                f"the server with process id {pid} does not end",
                reason=Reason.SERVER_UNAVAILABLE,
                hint=f"read {folder.server_log}, then end it with: kill -9 {pid}",
                exit_code=ExitCode.SERVER_UNAVAILABLE,
            )
        time.sleep(_LOOK_EVERY_SECONDS)
    return True


def _give(folder: StateFolder, desired: DesiredSet, *, progress: Progress) -> ServerInfo:
    """Give a running server another desired set and wait until it has converged."""
    wanted = desired_for(desired, newer_than=read_desired(folder.desired))
    write_desired(folder.desired, wanted)
    deadline = time.monotonic() + _ADOPT_SECONDS
    while True:
        status = read_model(folder.status, AgentReport)
        info = find_server(folder.root)
        settled = (
            status is not None
            and info is not None
            and (
                status.generation == wanted.generation
                and info.adapters == status.adapters
                and all(adapter.state is not AdapterState.PENDING for adapter in status.adapters)
            )
        )
        if settled and info is not None:
            return info
        if folder.holder() is None or time.monotonic() > deadline:
            raise TryAgain(
                "the running server did not take the new experts",
                reason=Reason.SERVER_UNAVAILABLE,
                hint=f"read {folder.server_log}, or stop it and serve again",
                exit_code=ExitCode.SERVER_UNAVAILABLE,
            )
        if progress.stopping:
            raise _interrupted()
        done = sum(
            adapter.state is not AdapterState.PENDING
            for adapter in (status.adapters if status is not None else ())
        )
        progress.update(done, len(wanted.experts), unit="adapters", message="loading adapters")
        time.sleep(_LOOK_EVERY_SECONDS)


def _failure(folder: StateFolder, returncode: int) -> NanodexError:
    failure = read_model(folder.failure, Failure)
    if failure is not None:
        return NanodexError(
            failure.message,
            reason=failure.reason,
            hint=failure.hint,
            exit_code=failure.exit_code,
        )
    return TryAgain(
        f"the server ended with {returncode}: {tail(folder.server_log, lines=3)}",
        reason=Reason.SERVER_UNAVAILABLE,
        hint=f"read {folder.server_log}",
        exit_code=ExitCode.SERVER_UNAVAILABLE,
    )


def _interrupted() -> Interrupted:
    return Interrupted(
        "stopped while the server was starting",
        reason=Reason.INTERRUPTED,
        hint="start it again; nothing was lost",
    )
