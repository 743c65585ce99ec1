"""What goes through the agent, what does not, and what the engine gets to see.

The engine here is a fast stand-in behind a real Unix socket; the same table is asked of a real vLLM
in tests/integration/inference/test_serving.py.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from nanodex.api.agent_report import EngineState
from nanodex.inference import directory as directory_module
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.directory import Directory, NotReady, Route
from nanodex.inference.engine_client import EngineClient, EngineUnreachable
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.question import MAX_BODY_BYTES

ROUTE = Route(
    public_name="team/a@000000000001",
    engine_name="team.a--000000000001",
    system="You are the expert on parcelry.",
)
USER = {"role": "user", "content": "Where is it?"}


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
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def be_ready(directory: Directory) -> None:
    """Say what the synchroniser says when the engine answers."""
    directory.engine = EngineState.READY
    directory.changed()


async def raw(url: str, head: str, body: bytes = b"") -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode("latin-1") + body)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


# One engine and one agent answer the whole table: a server for each row would take a minute.
UNKNOWN_TARGETS = (
    "/", "/v1", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters", "/adapters/x",
    "/invocations", "/tokenize", "/docs", "/openapi.json", "/version",
    "/v1/chat/completions/batch", "/v1/chat/completions/", "/v1//chat/completions",
    "//v1/chat/completions", "/v1/chat/../load_lora_adapter", "/v1/./models", "/v1%2Fmodels",
    "/v1/chat%2Fcompletions", "/v1/mod%65ls", "/%76%31/models", "/V1/models", "/v1/models%00",
    "/v1/models;x", "/health%0d%0aX:y", "http://engine/adapters", "http://engine//v1/models",
    "http://engine/v1/load_lora_adapter", "http://engine/v1/./models", "*",
)  # fmt: skip


async def test_everything_but_five_paths_is_404(url: str, stand_in: Any) -> None:
    for target in UNKNOWN_TARGETS:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await raw(url, head)

            assert answer.startswith(b"HTTP/1.1 404 "), (method, target, answer)
            error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert set(error) == {"message", "type", "param", "code"}
    assert stand_in[0].requests == []


async def test_the_absolute_form_of_a_path_is_that_path(url: str) -> None:
    # RFC 9112, 3.2.2: a server must accept it.
    head = "GET http://engine/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert (await raw(url, head)).startswith(b"HTTP/1.1 200 ")


async def test_the_five_paths(http: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/v1/models", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/v1/completions", 200),
        ("GET", "/v1/models?x=1", 200),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/chat/completions", 405),
    ):
        body = {"json": chat()} if method == "POST" else {}

        answer = await http.request(method, path, **body)

        assert answer.status_code == status, (method, path)
        assert status == 200 or answer.json()["error"]["type"] == "invalid_request_error"


async def test_an_alias_becomes_the_engines_name_and_comes_back_as_the_version(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    for model in ("team/a", "team/a@000000000001"):
        answer = await http.post("/v1/chat/completions", json=chat(model))

        assert answer.json()["model"] == "team/a@000000000001"
        assert stand_in[0].requests[-1][1]["model"] == "team.a--000000000001"


async def test_an_unknown_model_is_404_and_the_engine_is_not_asked(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    pinned_elsewhere = "team/a@ffffffffffff"
    for model in ("team/b", pinned_elsewhere, ROUTE.engine_name, "", "BASE", "../base", "a" * 999):
        answer = await http.post("/v1/chat/completions", json=chat(model))

        assert answer.status_code == 404, model
        assert answer.json()["error"]["code"] == "model_not_found"
    assert stand_in[0].requests == []


async def test_the_experts_system_message_comes_first_unless_there_is_one(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    own = {"role": "system", "content": "Be brief."}
    for messages in ([USER], [own, USER]):
        await http.post("/v1/chat/completions", json=chat(messages=messages))
    await http.post("/v1/chat/completions", json=chat("base"))

    seen = [body["messages"] for _, body in stand_in[0].requests]
    assert seen == [[{"role": "system", "content": ROUTE.system}, USER], [own, USER], [USER]]


async def test_fields_that_manage_adapters_or_load_code_do_not_pass(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    forbidden = {
        "lora_name": "x", "lora_path": "/etc", "lora_request": {}, "load_inplace": True,
        "chat_template": "{{ x }}", "chat_template_kwargs": {}, "prompt_embeds": "x",
        "kv_transfer_params": {}, "vllm_xargs": {}, "prompt_logprobs": 100, "cache_salt": "x",
        "priority": -1, "structured_outputs": {}, "mm_processor_kwargs": {}, "documents": [],
    }  # fmt: skip

    await http.post("/v1/chat/completions", json=chat(temperature=0, **forbidden))

    assert set(stand_in[0].requests[-1][1]) == {"model", "messages", "temperature"}


NO_REQUESTS = (
    b"", b"{", b"[]", b"null", b'{"messages": []}', b'{"model": 5}', b"[" * 100_000, b"\xff",
    b'{"model": "base"}', b'{"model": "base", "messages": [5]}',
    b'{"model": "base", "messages": "x"}',
    # The engine would fetch it.
    b'{"model": "base", "messages": [{"role": "user", "content": '
    b'[{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}]}',
    b'{"model": "base", "n": 17, "messages": [{"role": "user", "content": "x"}]}',
)  # fmt: skip


async def test_what_is_no_request_is_400(http: httpx.AsyncClient, stand_in: Any) -> None:
    for body in NO_REQUESTS:
        answer = await http.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )

        assert answer.status_code == 400, body[:80]
        assert answer.json()["error"]["message"]
    assert stand_in[0].requests == []


async def test_a_body_is_limited_whether_its_length_is_told_or_not(
    http: httpx.AsyncClient, url: str
) -> None:
    told = await http.post("/v1/chat/completions", json=chat(user="x" * MAX_BODY_BYTES))
    assert told.status_code == 413

    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = await raw(
        url,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\nContent-Type: application/json\r\n\r\n",
        chunk * (MAX_BODY_BYTES // 0x10000 + 1),
    )
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_web_page_of_another_origin_cannot_ask(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/chat/completions", content=json.dumps(chat()), headers={"content-type": "text/plain"}
    )

    assert answer.status_code == 415


async def test_a_stream_is_passed_on_as_it_comes(http: httpx.AsyncClient, stand_in: Any) -> None:
    stand_in[0].hold.clear()
    async with http.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
        lines = answer.aiter_lines()
        first = json.loads((await anext(lines)).removeprefix("data: "))
        assert first["model"] == "team/a@000000000001"
        assert first["choices"][0]["delta"]["content"] == "It is "
        stand_in[0].hold.set()
        rest = [line async for line in lines if line]

    # The token counts were the agent's wish, not the client's.
    assert len(rest) == 2
    assert rest[-1] == "data: [DONE]"


async def test_a_client_that_wants_the_token_counts_of_a_stream_gets_them(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post(
        "/v1/chat/completions", json=chat(stream=True, stream_options={"include_usage": True})
    )

    assert '"completion_tokens":2' in answer.text


async def test_tokens_and_requests_are_counted_by_version(http: httpx.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=chat())
    await http.post("/v1/chat/completions", json=chat(stream=True))
    await http.post("/v1/chat/completions", json=chat("nobody"))

    metrics = (await http.get("/metrics")).text

    assert 'nanodex_tokens_total{kind="answer",model="team/a@000000000001"} 4.0' in metrics
    assert 'nanodex_requests_total{code="200",model="team/a@000000000001"} 2.0' in metrics
    assert 'nanodex_requests_total{code="404",model="unknown"} 1.0' in metrics
    assert "vllm:running" in metrics


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_work_and_frees_the_adapter(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory, stream: bool
) -> None:
    stand_in[0].hold.clear()
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/chat/completions", json=chat(stream=stream), timeout=0.3)

    await until(lambda: not directory.in_flight[ROUTE.engine_name])
    stand_in[0].hold.set()


async def test_a_known_model_is_waited_for_and_then_answers(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.waiting = {"team/new": None}
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat("team/new")))
    await asyncio.sleep(0.05)
    assert not asked.done()

    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    directory.changed()

    assert (await asked).status_code == 200


async def test_a_model_that_does_not_come_is_503_with_a_time_to_retry(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "WAIT_SECONDS", 0.05)
    directory.waiting = {"team/new": None}

    answer = await http.post("/v1/chat/completions", json=chat("team/new"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_an_adapter_that_the_engine_lost_is_503_not_404(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory
) -> None:
    stand_in[0].lost.add(ROUTE.engine_name)

    answer = await http.post("/v1/chat/completions", json=chat())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert directory.in_flight[ROUTE.engine_name] == 0


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
    be_ready(directory)

    assert (await asked).status_code == 200
    assert len(stand_in[0].asked("/v1/chat/completions")) == 2


async def test_a_request_that_takes_two_engines_down_gets_no_third(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory
) -> None:
    stand_in[0].crashes_on.add(ROUTE.engine_name)
    stand_in[0].healthy = False

    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat()))
    await until(lambda: directory.engine is EngineState.STARTING)
    be_ready(directory)
    answer = await asked

    # Nobody is told to try that again.
    assert (answer.status_code, "retry-after" in answer.headers) == (503, False)
    assert answer.json()["error"]["code"] == "engine_down"
    assert len(stand_in[0].asked("/v1/chat/completions")) == 2
    assert directory.in_flight[ROUTE.engine_name] == 0


async def test_a_failure_of_a_healthy_engine_is_passed_on(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    stand_in[0].crashes_on.add(ROUTE.engine_name)

    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 500


@pytest.mark.parametrize("model", ["base", "team/a", "team/new"])
async def test_while_the_engine_starts_known_models_are_waited_for_and_health_is_503(
    http: httpx.AsyncClient, directory: Directory, model: str
) -> None:
    directory.engine = EngineState.STARTING
    directory.waiting = {"team/new": None}

    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat(model)))
    await asyncio.sleep(0.05)
    assert not asked.done()
    assert (await http.get("/health")).status_code == 503
    assert (await http.post("/v1/chat/completions", json=chat("nobody"))).status_code == 404
    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    be_ready(directory)

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
            be_ready(directory)

    monkeypatch.setattr(directory, "arrival", note)
    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 200
    assert waits == [waits[0]] * 2


async def test_a_wait_for_an_adapter_becomes_one_for_the_engine_when_that_dies(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "WAIT_SECONDS", 0.3)
    directory.waiting = {"team/new": None}
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat("team/new")))
    await until(lambda: directory.asked.total() == 1)
    directory.engine_is_away("its core is dead")
    await asyncio.sleep(0.6)
    assert not asked.done()

    directory.routes = dict(directory.routes) | {"team/new": ROUTE}
    be_ready(directory)

    assert (await asked).status_code == 200


async def test_long_requests_do_not_fill_the_memory_while_they_wait(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "MAX_WAITING_BYTES", 1000)
    directory.engine = EngineState.STARTING
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat(user="x" * 500)))
    await until(lambda: directory.asked.total() == 1)

    assert (await http.post("/v1/chat/completions", json=chat(user="x" * 500))).status_code == 503
    be_ready(directory)
    assert (await asked).status_code == 200
    assert directory.waiting_bytes == 0


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


async def test_no_more_wait_for_an_engine_than_there_is_room_for(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "MAX_WAITING", 1)
    directory.engine = EngineState.STARTING
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=chat()))
    await until(lambda: directory.asked.total() == 1)

    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 503
    be_ready(directory)
    assert (await asked).status_code == 200


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
            be_ready(directory)
        await until(lambda: directory.engine is EngineState.STARTING)
        (tmp_path / "later.sock").symlink_to(tmp_path / "engine.sock")
        be_ready(directory)
        answer = await asked
    await engine.aclose()

    assert answer.status_code == 200
    assert directory.in_flight[ROUTE.engine_name] == 0


async def test_one_request_is_not_a_hundred(http: httpx.AsyncClient, stand_in: Any) -> None:
    for prompt, n, status in (
        (["x"] * 17, 1, 400),
        ([[1, 2]] * 9, 2, 400),
        (["x"] * 8, 2, 200),
        ([1] * 100, 1, 200),
        ("x", "many", 200),
    ):
        answer = await http.post(
            "/v1/completions", json={"model": "team/a", "prompt": prompt, "n": n}
        )

        assert answer.status_code == status, (prompt, n)
