"""Tokens of Kubernetes at the agent: whom it asks, what it keeps, what it shows to nobody."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from nanodex.api.agent_report import EngineState
from nanodex.inference.access import Client
from nanodex.inference.agent import Agent, build_app
from nanodex.inference.directory import Directory, Route
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.tokens import ReviewsUnavailable, TokenAccess

TOKEN, EXPIRED = "eyJh.eyJzdWIi.c2ln", "eyJh.eyJleHAi.c2ln"
BEARER = f"Bearer {TOKEN}"
USER = "system:serviceaccount:team-a:ci"


class Reviewer:
    """The component beside the operator: one user, who may ask what stands in `patterns`."""

    def __init__(self) -> None:
        self.patterns = ["team-a/x"]
        self.asked: list[Any] = []
        self.status = 200

    def app(self) -> Starlette:
        return Starlette(routes=[HttpRoute("/review", self._review, methods=["POST"])])

    async def _review(self, request: Request) -> Response:
        question = await request.json()
        self.asked.append(question)
        status = 401 if question["token"] != TOKEN else self.status
        patterns = self.patterns if question["models"] else []
        return JSONResponse({"user": USER, "patterns": patterns}, status_code=status)


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
async def tokens(reviewer: Reviewer, listen: Callable[[Any], Any]) -> AsyncIterator[TokenAccess]:
    port = await listen(reviewer.app())
    access = TokenAccess(f"http://127.0.0.1:{port}", clock=lambda: NOW[0])
    yield access
    await access.aclose()


NOW = [0.0]


async def test_the_owner_of_a_token_may_ask_what_the_cluster_says(
    tokens: TokenAccess, reviewer: Reviewer
) -> None:
    found = await tokens.client_of(BEARER, models=["team-a/x", "team-a/y"])

    assert found == Client(f"kubernetes:{USER}", ("team-a/x",))
    assert reviewer.asked == [{"token": TOKEN, "models": ["team-a/x", "team-a/y"]}]
    assert await tokens.client_of(f"Bearer {EXPIRED}", models=[]) is None


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer ", "Bearer nx-0123456789abcdef", f"Basic {TOKEN}", "Bearer a.b.c d",
     "Bearer " + "a" * 17000 + ".b.c", "Bearer ..", "Bearer a.b.c.d"],
)  # fmt: skip
async def test_what_is_no_token_is_shown_to_nobody(
    tokens: TokenAccess, reviewer: Reviewer, authorization: str
) -> None:
    assert await tokens.client_of(authorization, models=[]) is None
    assert reviewer.asked == []


async def test_an_answer_is_kept_for_seconds_and_a_right_that_is_taken_away_is_gone_after_them(
    tokens: TokenAccess, reviewer: Reviewer
) -> None:
    for _ in range(3):
        assert await tokens.client_of(BEARER, models=["team-a/x"])
    assert len(reviewer.asked) == 1

    reviewer.patterns = []
    NOW[0] += 11
    found = await tokens.client_of(BEARER, models=["team-a/x"])
    assert found is not None and not found.may_ask("team-a/x")


@pytest.mark.parametrize("status", [503, 500, 302, 404])
async def test_where_nobody_can_say_nobody_is_let_in(
    tokens: TokenAccess, reviewer: Reviewer, status: int
) -> None:
    reviewer.status = status

    with pytest.raises(ReviewsUnavailable):
        await tokens.client_of(BEARER, models=[])
    reviewer.status = 200
    assert await tokens.client_of(BEARER, models=[]) is not None


class Keys:
    def client_of(self, authorization: str) -> Client | None:
        return Client("ci", ("*",)) if authorization == "Bearer nx-0123456789abcdef" else None


@pytest.fixture
async def http(stand_in: Any, listen: Callable[[Any], Any], tokens: TokenAccess) -> Any:
    routes = {
        name: Route(public_name=f"{name}@000000000001", engine_name=name.replace("/", "."))
        for name in ("team-a/x", "team-b/y")
    }
    agent = Agent(
        engine=stand_in[1],
        directory=Directory(engine=EngineState.READY, routes=routes),
        metrics=AgentMetrics(),
        access=Keys(),
        tokens=tokens,
    )
    url = f"http://127.0.0.1:{await listen(build_app(agent))}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        yield client


async def ask(http: Any, model: str, authorization: str) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "?"}]}
    headers = {"Authorization": authorization}
    return await http.post("/v1/chat/completions", json=body, headers=headers)


async def test_a_token_asks_the_models_of_its_owner_and_no_other(http: Any) -> None:
    assert (await ask(http, "team-a/x", BEARER)).status_code == 200
    for model in ("team-b/y", "base", "team-a/unheard-of"):
        assert (await ask(http, model, BEARER)).status_code == 403, model
    assert (await ask(http, "team-a/x", f"Bearer {EXPIRED}")).status_code == 401
    listed = await http.get("/v1/models", headers={"Authorization": BEARER})
    assert [card["id"] for card in listed.json()["data"]] == ["team-a/x"]
    metrics = await http.get("/metrics", headers={"Authorization": BEARER})
    assert metrics.status_code == 403


async def test_without_the_reviewer_keys_go_on_and_tokens_are_asked_to_come_back(
    http: Any, reviewer: Reviewer
) -> None:
    reviewer.status = 503

    refused = await ask(http, "team-a/x", BEARER)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["error"]["code"] == "access_unavailable"
    assert (await ask(http, "team-a/x", "Bearer nx-0123456789abcdef")).status_code == 200
