"""Which requests wait at the agent, for what and for how long, and what becomes of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from nanodex.api.agent_report import EngineState
from nanodex.inference import directory as directory_module
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.directory import Directory, NotReady
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.metrics import AgentMetrics
from tests.unit.inference.conftest import ROUTE, chat, until


async def waiting(
    http: httpx.AsyncClient, directory: Directory, model: str = "team/a", **fields: Any
) -> "asyncio.Task[httpx.Response]":
    """A request that waits; no other does."""
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat(model, **fields)))
    await until(lambda: directory.asked.total() == 1)
    return asked


async def test_a_known_model_is_waited_for_and_then_answers(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.waiting = {"team/new": None}
    asked = await waiting(http, directory, "team/new")

    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    directory.changed()

    assert (await asked).status_code == 200


async def test_how_many_wait_for_what_is_measured(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.engine = EngineState.STARTING
    asked = await waiting(http, directory)
    assert 'nanodex_requests_waiting{model="team/a"} 1.0' in (await http.get("/metrics")).text

    directory.engine_is_back()
    await asked

    assert "nanodex_requests_waiting{" not in (await http.get("/metrics")).text


async def test_a_model_that_does_not_come_is_503_with_a_time_to_retry(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "WAIT_SECONDS", 0.05)
    directory.waiting = {"team/new": None}

    answer = await http.post("/v1/chat/completions", json=chat("team/new"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("model", ["base", "team/a", "team/new"])
async def test_while_the_engine_starts_known_models_are_waited_for_and_health_is_503(
    http: httpx.AsyncClient, directory: Directory, model: str
) -> None:
    directory.engine = EngineState.STARTING
    directory.waiting = {"team/new": None}

    asked = await waiting(http, directory, model)
    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/v1/chat/completions", json=chat("nobody"))).status_code == 404
    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    directory.engine_is_back()

    assert (await asked).status_code == 200


async def test_an_engine_that_does_not_come_is_503_with_a_time_to_retry(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "START_SECONDS", 0.05)
    directory.engine = EngineState.STARTING

    answer = await http.post("/v1/chat/completions", json=chat())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert answer.json()["error"]["message"] == "the engine is starting"


async def test_one_request_waits_no_longer_than_an_engine_may_take_however_often_it_waits(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "START_SECONDS", 0.3)
    came = asyncio.get_running_loop().time() - 0.3
    directory.engine = EngineState.STARTING
    with pytest.raises(NotReady):
        await directory.arrival("team/a", since=came)

    waits: list[float] = []

    async def note(model: str, *, since: float, size: int) -> None:
        waits.append(since)
        await asyncio.sleep(0.01)
        if len(waits) == 2:
            directory.engine_is_back()

    monkeypatch.setattr(directory, "arrival", note)
    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 200
    assert waits == [waits[0]] * 2


async def test_a_wait_for_an_adapter_becomes_one_for_the_engine_when_that_dies(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "WAIT_SECONDS", 0.3)
    directory.waiting = {"team/new": None}
    asked = await waiting(http, directory, "team/new")
    directory.engine_is_away("its core is dead")
    await asyncio.sleep(0.6)
    assert not asked.done()

    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    directory.engine_is_back()

    assert (await asked).status_code == 200


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 1), ("MAX_WAITING_BYTES", 1000)])
async def test_no_more_wait_for_an_engine_than_there_is_room_for(
    http: httpx.AsyncClient,
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(directory_module, limit, value)
    directory.engine = EngineState.STARTING
    asked = await waiting(http, directory, user="x" * 500)

    answer = await http.post("/v1/chat/completions", json=chat(user="x" * 500))
    assert answer.status_code == 503
    directory.engine_is_back()
    assert (await asked).status_code == 200
    assert (directory.asked, directory.waiting_bytes) == ({}, 0)


async def test_a_client_that_does_not_wait_for_an_engine_makes_room(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.engine = EngineState.STARTING
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/chat/completions", json=chat(), timeout=0.2)

    await until(lambda: not directory.asked)


async def test_while_the_server_stops_health_is_503_and_so_are_answers(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.engine = EngineState.DRAINING

    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 503


async def test_a_request_that_met_a_dying_engine_is_answered_by_the_next(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory
) -> None:
    # vLLM answers 500 for some seconds between the death of its core and its own end.
    stand_in[0].crashes_on.add(ROUTE.engine_name)
    stand_in[0].healthy = False

    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat()))
    await until(lambda: directory.engine is EngineState.STARTING)
    assert directory.in_flight[ROUTE.engine_name] == 0
    assert directory.wanted.is_set()
    stand_in[0].crashes_on.clear()
    stand_in[0].healthy = True
    directory.engine_is_back()

    assert (await asked).status_code == 200
    assert len(stand_in[0].asked("/v1/chat/completions")) == 2


async def test_a_request_that_takes_two_engines_down_gets_no_third(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory
) -> None:
    stand_in[0].crashes_on.add(ROUTE.engine_name)
    stand_in[0].healthy = False

    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat()))
    await until(lambda: directory.engine is EngineState.STARTING)
    directory.engine_is_back()
    answer = await asked

    # Nobody is told to try that again.
    assert (answer.status_code, "retry-after" in answer.headers) == (503, False)
    assert answer.json()["error"]["code"] == "engine_down"
    assert len(stand_in[0].asked("/v1/chat/completions")) == 2
    assert directory.in_flight[ROUTE.engine_name] == 0


async def test_an_engine_that_nobody_has_seen_is_waited_for_however_often_it_is_absent(
    directory: Directory, listen: Callable[[Any], Any], tmp_path: Any, stand_in: Any
) -> None:
    engine = EngineClient(tmp_path / "later.sock")
    agent = Agent(engine=engine, directory=directory, metrics=AgentMetrics())
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{await listen(build_app(agent))}", trust_env=False
    ) as http:
        assert (await http.get("/health")).status_code == 503
        asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat()))
        for _ in range(3):
            await until(lambda: directory.engine is EngineState.STARTING)
            directory.engine_is_back()
        await until(lambda: directory.engine is EngineState.STARTING)
        (tmp_path / "later.sock").symlink_to(tmp_path / "engine.sock")
        directory.engine_is_back()
        answer = await asked
    await engine.aclose()

    assert answer.status_code == 200
    assert directory.in_flight[ROUTE.engine_name] == 0


async def test_a_request_that_a_living_engine_did_not_answer_is_the_only_one_that_fails(
    http: httpx.AsyncClient,
    stand_in: Any,
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def break_off(path: str, content: Any) -> Any:
        raise EngineUnreachable("the connection was closed")

    with monkeypatch.context() as patch:
        patch.setattr(stand_in[1], "ask", break_off)
        answer = await http.post("/v1/chat/completions", json=chat())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert directory.engine is EngineState.READY
    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 200
