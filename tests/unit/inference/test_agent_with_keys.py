"""The agent of a cluster: keys, limits, evidence of the answer, and the line that is left of it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from nanodex.api.agent_report import EngineState
from nanodex.inference.access import Client
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.directory import Directory, Route
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.refusals import Turns
from tests.unit.inference.conftest import until

DIGEST = "sha256:" + "0" * 11 + "1" + "0" * 52
QUESTION = "Where is the secret plan?"


def route(name: str) -> Route:
    return Route(
        public_name=f"{name}@000000000001",
        engine_name=f"{name.replace('/', '.')}--000000000001",
        system="You are the expert on parcelry.",
        digest=DIGEST,
        commit="c0ffee" * 6 + "c0ff",
    )


class Keys:
    def client_of(self, authorization: str) -> Client | None:
        known = {
            "Bearer a": Client("a", ("team-a/*",)),
            "Bearer all": Client("all", ("*",)),
            "Bearer base": Client("base", ("base",)),
        }
        return known.get(authorization)


@pytest.fixture
def directory() -> Directory:
    routes = {name: route(name) for name in ("team-a/x", "team-b/y")}
    return Directory(engine=EngineState.READY, routes=routes)


@pytest.fixture
async def http(stand_in: Any, directory: Directory, listen: Callable[[Any], Any]) -> Any:
    agent = Agent(
        engine=stand_in[1],
        directory=directory,
        metrics=AgentMetrics(),
        access=Keys(),
        turns=Turns(2),
    )
    url = f"http://127.0.0.1:{await listen(build_app(agent))}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        yield client


def ask(http: httpx.AsyncClient, model: str = "team-a/x", *, key: str = "a", **fields: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}]} | fields
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return http.post("/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize(
    ("key", "model", "status", "code", "type_"),
    [
        ("", "team-a/x", 401, "invalid_api_key", "authentication_error"),
        ("wrong", "team-a/x", 401, "invalid_api_key", "authentication_error"),
        ("a", "team-b/y", 403, "permission_denied", "permission_error"),
        # Whether it exists is nobody's business.
        ("a", "team-b/nothing", 403, "permission_denied", "permission_error"),
        ("a", "base", 403, "permission_denied", "permission_error"),
        ("a", "team-a/nothing", 404, "model_not_found", "invalid_request_error"),
    ],
)
async def test_who_may_not_is_told_so_in_openais_form_and_the_engine_is_not_asked(
    http: httpx.AsyncClient, stand_in: Any, key: str, model: str, status: int, code: str, type_: str
) -> None:
    answer = await ask(http, model, key=key)

    assert answer.status_code == status
    assert (answer.json()["error"]["code"], answer.json()["error"]["type"]) == (code, type_)
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert "team-b" not in answer.text.replace(model, "")
    assert stand_in[0].requests == []


async def test_nothing_of_a_body_is_read_without_a_key(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", content=b"x" * 100)

    assert answer.status_code == 401


async def test_a_key_sees_the_models_that_it_may_ask(http: httpx.AsyncClient) -> None:
    async def seen(key: str) -> list[str]:
        answer = await http.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        return [card["id"] for card in answer.json()["data"]]

    assert await seen("a") == ["team-a/x"]
    assert await seen("base") == ["base"]
    assert await seen("all") == ["base", "team-a/x", "team-b/y"]
    assert (await http.get("/v1/models")).status_code == 401


async def test_metrics_name_every_expert_so_they_need_a_key_for_all(
    http: httpx.AsyncClient,
) -> None:
    statuses = [
        (await http.get("/metrics", headers={"Authorization": f"Bearer {key}"})).status_code
        for key in ("none", "a", "all")
    ]

    assert statuses == [401, 403, 200]


async def test_health_needs_no_key(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).status_code == 200


async def test_one_key_cannot_take_all_places(http: httpx.AsyncClient, stand_in: Any) -> None:
    stand_in[0].hold.clear()
    first = [asyncio.create_task(ask(http)) for _ in range(2)]
    async with asyncio.timeout(5):
        while len(stand_in[0].requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    refused = await ask(http)
    other = asyncio.create_task(ask(http, key="all"))
    await asyncio.sleep(0.05)
    stand_in[0].hold.set()

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert [(await one).status_code for one in (*first, other)] == [200] * 3
    assert (await ask(http)).status_code == 200


async def test_an_answer_says_which_adapter_and_commit_it_comes_from(
    http: httpx.AsyncClient,
) -> None:
    for fields in ({}, {"stream": True}):
        answer = await ask(http, **fields)

        assert answer.headers["nanodex-digest"] == DIGEST
        assert answer.headers["nanodex-commit"] == "c0ffee" * 6 + "c0ff"
    assert "nanodex-digest" not in (await ask(http, "base", key="all")).headers


async def test_one_line_is_left_of_a_request_without_the_question(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="nanodex.audit"):
        await ask(http, stream=True)
        await ask(http, f"team-b/{QUESTION}")
        await ask(http, key="")

    lines = [
        record.__dict__["facts"] for record in caplog.records if record.name == "nanodex.audit"
    ]
    assert [line["status"] for line in lines] == [200, 403, 401]
    assert lines[0].pop("seconds") >= 0
    assert lines[0] == {
        "path": "/v1/chat/completions",
        "client": "a",
        "model": "team-a/x@000000000001",
        "digest": DIGEST,
        "status": 200,
        "promptTokens": 5,
        "answerTokens": 2,
    }
    assert "secret plan" not in str(lines)


async def test_a_replica_that_leaves_still_answers_but_is_not_ready(
    http: httpx.AsyncClient, directory: Directory
) -> None:
    directory.leaving = True

    assert (await http.get("/health")).status_code == 503
    assert (await ask(http)).status_code == 200


async def test_a_key_that_was_taken_away_while_a_request_waited_gets_no_answer(
    http: httpx.AsyncClient, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.engine = EngineState.STARTING
    body = {"model": "team-a/x", "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"Authorization": "Bearer a"}
    asked = asyncio.create_task(http.post("/v1/chat/completions", json=body, headers=headers))
    await until(lambda: directory.asked.total() == 1)
    monkeypatch.setattr(Keys, "client_of", lambda self, authorization: None)
    directory.engine_is_back()

    assert (await asked).status_code == 401
