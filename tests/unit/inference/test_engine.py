"""An engine is a group of processes: it starts on a clean socket and leaves nothing behind.

The processes here are small Python programs; vLLM itself is started in tests/integration/inference.
"""

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nanodex.errors import TryAgain, UserError
from nanodex.inference import engine as engine_module
from nanodex.inference import engine_client
from nanodex.inference.engine import Engine, prepare_socket_folder
from nanodex.inference.engine_client import EngineClient
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


async def test_a_start_that_is_over_before_anybody_looks_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = asyncio.create_subprocess_exec

    async def over(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await begin(*arguments, **options)
        await process.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", over)
    engine = make(tmp_path, "raise ValueError('max_loras must be positive')")
    await engine.start()

    async def never() -> bool:
        return False

    with pytest.raises(TryAgain, match="ValueError: max_loras must be positive"):
        await engine.wait_healthy(never, limit_seconds=30, on_wait=lambda _: None)
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


@pytest.mark.parametrize(
    ("program", "gone", "says"),
    [
        ("import sys, time; time.sleep(0.5); sys.exit(3)", False, "it ended with status 3"),
        # A call to the dead core that is never answered keeps the API server waiting.
        ("import time; time.sleep(600)", True, "its core is dead"),
    ],
)
async def test_an_engine_is_of_no_use_once_its_process_or_its_core_is_dead(
    tmp_path: Path, program: str, gone: bool, says: str
) -> None:
    engine = make(tmp_path, program)
    await engine.start()

    async def is_gone() -> bool:
        return gone

    async with asyncio.timeout(30):
        assert await engine.wait_ended(is_gone) == says

    await engine.stop(grace_seconds=0)


async def test_an_engine_that_is_unhealthy_for_a_moment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_GONE_SECONDS", 0.1)
    monkeypatch.setattr(engine_module, "_LOOK_SECONDS", 0.06)
    engine = make(tmp_path, "import time; time.sleep(600)")
    await engine.start()
    said = iter([True, True, False, True])

    async def is_gone() -> bool:
        return next(said, False)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(engine.wait_ended(is_gone), 1)

    await engine.stop(grace_seconds=0)


async def test_gone_is_who_says_so_or_does_not_listen_and_not_who_is_slow(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = stand_in
    assert not await client.gone()
    engine.healthy = False
    assert await client.gone()

    nobody = EngineClient(tmp_path / "nobody.sock")
    assert await nobody.gone()
    await nobody.aclose()

    monkeypatch.setattr(engine_client, "_CONNECT_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        slow = EngineClient(tmp_path / "silent.sock")
        assert not await slow.gone()
        await slow.aclose()


def test_a_path_too_long_for_a_socket_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare_socket_folder(tmp_path / ("x" * 100) / "engine.sock")

    assert "shorter path" in caught.value.hint
