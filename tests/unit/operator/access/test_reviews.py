"""What a token and model names become for the API server, and its answers for an agent."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from nanodex_operator.access.reviews import review
from nanodex_operator.access.service import build_app
from nanodex_operator.kinds import Resource
from nanodex_operator.refusals import Unavailable

from nanodex.api.access import AccessAnswer, AccessQuestion

USER = {
    "username": "ana", "uid": "7", "groups": ["devs"], "extra": {"example.com/scope": ["a"]},
}  # fmt: skip


class Cluster:
    """An API server with one valid token, whose owner may ask what stands in `allowed`."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = set(allowed)
        self.status: dict[str, Any] = {
            "authenticated": True, "audiences": ["nanodex"], "user": USER,
        }  # fmt: skip
        self.reviews: list[Any] = []
        self.is_away = False

    async def create(self, resource: Resource, manifest: Any, *, namespace: str = "") -> Any:
        if self.is_away:
            raise Unavailable("away")
        spec = manifest["spec"]
        if resource.plural == "tokenreviews":
            return {"status": self.status if spec["token"] == "good" else {}}
        self.reviews.append(spec)
        asked = spec["resourceAttributes"]
        return {"status": {"allowed": (asked["namespace"], asked["name"]) in self.allowed}}


async def answer(
    cluster: Cluster, *models: str, token: str = "good", audiences: Sequence[str] = ("nanodex",)
) -> AccessAnswer | None:
    question = AccessQuestion(token=token, models=models)
    return await review(question, cluster=cluster, audiences=audiences)


async def test_one_model_is_one_review_with_all_that_is_known_of_the_user() -> None:
    cluster = Cluster(("team-a", "x"))

    assert await answer(cluster, "team-a/x@000000000001") == AccessAnswer(
        user="ana", patterns=("team-a/x",)
    )
    [spec] = cluster.reviews
    assert spec == {
        "user": "ana",
        "uid": "7",
        "groups": ["devs"],
        "extra": {"example.com/scope": ["a"]},
        "resourceAttributes": {
            "verb": "create", "group": "nanodex.dev", "resource": "codeexperts",
            "subresource": "ask", "namespace": "team-a", "name": "x",
        },
    }  # fmt: skip


async def test_without_models_it_says_who_it_is_and_asks_for_no_right() -> None:
    cluster = Cluster()

    assert await answer(cluster) == AccessAnswer(user="ana")
    assert cluster.reviews == []


@pytest.mark.parametrize(
    ("allowed", "patterns"),
    [
        ([("", "")], ("*",)),
        ([("team-a", "")], ("team-a/*",)),
        ([("team-a", "x"), ("team-b", "y")], ("team-a/x", "team-b/y")),
        ([], ()),
    ],
)
async def test_a_list_is_asked_about_from_the_widest_right_to_the_narrowest(
    allowed: Any, patterns: tuple[str, ...]
) -> None:
    found = await answer(Cluster(*allowed), "base", "team-a/x", "team-a/z", "team-b/y")

    assert found is not None and found.patterns == patterns


async def test_the_base_model_takes_the_right_on_all_namespaces() -> None:
    found = await answer(Cluster(("team-a", "")), "base")

    assert found is not None and found.patterns == ()


async def test_a_list_without_end_costs_the_api_server_little() -> None:
    cluster = Cluster()

    await answer(cluster, *(f"team-{number}/x" for number in range(5000)))

    assert len(cluster.reviews) == 64


@pytest.mark.parametrize("model", ["", "x", "/x", "team-a/", "a/b/c", "A/b", "../x", "a/*"])
async def test_what_is_no_expert_is_not_asked_about(model: str) -> None:
    cluster = Cluster(("", ""))

    found = await answer(cluster, model)

    assert found is not None and found.patterns == ()
    assert cluster.reviews == []


@pytest.mark.parametrize(
    ("status", "audiences"),
    [
        ({"authenticated": False}, ["nanodex"]),
        ({}, ["nanodex"]),
        # An authenticator that knows no audiences takes any token.
        ({"authenticated": True, "user": USER}, ["nanodex"]),
        ({"authenticated": True, "user": USER, "audiences": ["other"]}, ["nanodex"]),
    ],
)
async def test_a_token_that_is_not_meant_for_this_is_not_valid(
    status: Any, audiences: list[str]
) -> None:
    cluster = Cluster(("", ""))
    cluster.status = status

    assert await answer(cluster, "base", audiences=audiences) is None
    assert cluster.reviews == []


async def test_over_http_every_outcome_has_its_status_and_none_shows_the_token() -> None:
    cluster = Cluster(("team-a", "x"))
    app = build_app(cluster, audiences=["nanodex"])

    async with TestClient(TestServer(app)) as client:

        async def post(body: Any) -> tuple[int, str]:
            said = await client.post("/review", data=json.dumps(body))
            return said.status, await said.text()

        status, text = await post({"token": "good", "models": ["team-a/x"]})
        assert (status, json.loads(text)) == (200, {"user": "ana", "patterns": ["team-a/x"]})
        assert (await post({"token": "secret-bad"}))[0] == 401
        cluster.is_away = True
        assert (await post({"token": "good"}))[0] == 503
        for body in ({"token": "secret", "other": 1}, [], {"token": "secret" * 4000}):
            status, text = await post(body)
            assert (status, "secret" in text) == (400, False)
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/review")).status == 405
