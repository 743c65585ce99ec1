"""What goes through the agent, what does not, and what the engine gets to see.

The engine here is a fast stand-in behind a real Unix socket; the same table is asked of a real vLLM
in tests/integration/inference/test_serving.py.
"""

import asyncio
import json
from typing import Any

import httpx
import pytest

from nanodex.inference.directory import Directory
from nanodex.inference.question import MAX_BODY_BYTES
from tests.unit.inference.conftest import ROUTE, USER, chat, until


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


async def test_an_adapter_that_the_engine_lost_is_503_not_404(
    http: httpx.AsyncClient, stand_in: Any, directory: Directory
) -> None:
    stand_in[0].lost.add(ROUTE.engine_name)

    answer = await http.post("/v1/chat/completions", json=chat())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert directory.in_flight[ROUTE.engine_name] == 0


async def test_a_failure_of_a_healthy_engine_is_passed_on(
    http: httpx.AsyncClient, stand_in: Any
) -> None:
    stand_in[0].crashes_on.add(ROUTE.engine_name)

    assert (await http.post("/v1/chat/completions", json=chat())).status_code == 500


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
