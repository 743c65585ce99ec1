"""An engine is a group of processes: it starts on a clean socket and leaves nothing behind.

The processes here are small Python programs; vLLM itself is started in tests/integration/inference.
"""

import asyncio
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from nanodex.errors import TryAgain, UserError
from nanodex.inference.engine import Engine, prepare_socket_folder
from nanodex.inference.engine_command import EngineCommand

# An engine with a worker that ignores SIGTERM, as vLLM's may.
PROGRAM = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
worker = subprocess.Popen([sys.executable, "-c", '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
'''])
time.sleep(600)
"""


def make(tmp_path: Path, program: str = PROGRAM) -> Engine:
    command = EngineCommand(
        argv=(sys.executable, "-c", program),
        environment={},
        socket=tmp_path / "run" / "engine.sock",
        device="cpu",
        dtype="float32",
        resident=4,
    )
    return Engine(command, log=tmp_path / "engine.log")


async def _log_says(tmp_path: Path, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in (tmp_path / "engine.log").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_stale_socket_is_removed_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "run" / "engine.sock"))
    engine = make(tmp_path)

    await engine.start()

    assert not (tmp_path / "run" / "engine.sock").exists()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    await engine.stop()


async def test_stopping_ends_children_that_ignore_it(tmp_path: Path) -> None:
    engine = make(tmp_path)
    await engine.start()
    await _log_says(tmp_path, "ready")
    assert engine.pid is not None
    worker = psutil.Process(engine.pid).children()[0]

    await engine.stop()

    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert not (tmp_path / "run" / "engine.json").exists()


async def test_an_engine_that_outlived_its_agent_is_ended_by_the_next_start(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    await first.start()
    assert first.pid is not None
    leftover = psutil.Process(first.pid)

    await second.start()

    assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
    await second.stop()
    await first.stop()


async def test_a_process_that_only_has_the_old_number_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "engine.json").write_text(
        f'{{"pid": {bystander.pid}, "created": {time.time() - 1e6}}}'
    )
    engine = make(tmp_path)

    await engine.start()

    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()
    await engine.stop()


async def test_a_start_that_fails_says_the_engines_last_words(tmp_path: Path) -> None:
    engine = make(tmp_path, "raise ValueError('max_loras must be positive')")
    await engine.start()

    async def never() -> bool:
        return False

    with pytest.raises(TryAgain, match="ValueError: max_loras must be positive") as caught:
        await engine.wait_healthy(never, limit_seconds=30, on_wait=lambda _: None)

    assert "engine.log" in caught.value.hint
    await engine.stop()


async def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    engine, waited = make(tmp_path), []
    await engine.start()

    async def never() -> bool:
        return False

    with pytest.raises(TryAgain, match="not healthy after 1 s"):
        await engine.wait_healthy(never, limit_seconds=1, on_wait=waited.append)

    assert waited == sorted(waited)
    await engine.stop()


def test_a_path_too_long_for_a_socket_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare_socket_folder(tmp_path / ("x" * 100) / "engine.sock")

    assert "shorter path" in caught.value.hint
