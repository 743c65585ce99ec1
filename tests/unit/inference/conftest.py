"""Adapters written by hand, and a fast stand-in for vLLM behind a real Unix socket."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from nanodex.api.agent_report import EngineState
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.directory import Directory, Route
from nanodex.inference.engine_client import EngineClient
from nanodex.inference.metrics import AgentMetrics
from tests.engine_stand_in import StandIn, write_adapter, write_base_model

ROUTE = Route(
    public_name="team/a@000000000001",
    engine_name="team.a--000000000001",
    system="You are the expert on parcelry.",
)
USER = {"role": "user", "content": "Where is it?"}


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *, seed: int = 1, rank: int = 8, **config: Any) -> Path:
        return write_adapter(tmp_path / "source" / name, seed=seed, rank=rank, **config)

    return write


@pytest.fixture
def write_base() -> Callable[[Path], None]:
    """Writes a base model's folder with the layers of the adapters."""
    return write_base_model


async def _listening(app: Any, **where: Any) -> tuple[uvicorn.Server, "asyncio.Task[None]"]:
    server = uvicorn.Server(
        uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, ws="none", **where)
    )
    # Signals are pytest's, also on the main thread.
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return server, task


@pytest.fixture
async def stand_in(tmp_path: Path) -> AsyncIterator[tuple[StandIn, EngineClient]]:
    """A stand-in that listens, and a client of it."""
    engine = StandIn()
    socket = tmp_path / "engine.sock"
    server, task = await _listening(engine.app(), uds=str(socket))
    client = EngineClient(socket)
    yield engine, client
    await client.aclose()
    server.should_exit = True
    await task


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Any], Any]]:
    """Serves an application on a port of loopback; returns the port."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def start(app: Any) -> int:
        server, task = await _listening(app, host="127.0.0.1", port=0)
        running.append((server, task))
        return int(server.servers[0].sockets[0].getsockname()[1])

    yield start
    for server, task in running:
        server.should_exit = True
        await task


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def directory() -> Directory:
    return Directory(
        engine=EngineState.READY, routes={"team/a": ROUTE, "team/a@000000000001": ROUTE}
    )


@pytest.fixture
async def url(stand_in: Any, directory: Directory, listen: Callable[[Any], Any]) -> str:
    agent = Agent(engine=stand_in[1], directory=directory, metrics=AgentMetrics())
    return f"http://127.0.0.1:{await listen(build_app(agent))}"


@pytest.fixture
async def http(url: str) -> Any:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        yield client


def chat(model: str = "team/a", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [USER]} | fields


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
