"""What the API server answers becomes an object, one of our errors, or another attempt."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from nanodex_operator.cluster import Cluster
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, LEASES, PODS
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.refusals import (
    AlreadyExists,
    ClusterError,
    Conflict,
    NotFound,
    Refused,
    Unavailable,
)

Answer = Callable[[web.Request], web.Response]


class ApiServer:
    """Answers with what a test has put in line, then with empty objects; remembers requests."""

    def __init__(self) -> None:
        self.answers: list[web.Response | None] = []
        self.requests: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.requests.append(
            {
                "method": request.method,
                "path": request.path_qs,
                "headers": dict(request.headers),
                "body": json.loads(text) if text else None,
            }
        )
        answer = self.answers.pop(0) if self.answers else web.json_response({})
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return answer


def status(code: int, reason: str = "", message: str = "", **headers: str) -> web.Response:
    body = {"kind": "Status", "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[tuple[ApiServer, str]]:
    api, application = ApiServer(), web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(application) as running:
        yield api, str(running.make_url("")).rstrip("/")


@pytest.fixture
def metrics() -> OperatorMetrics:
    return OperatorMetrics()


@pytest.fixture
async def cluster(
    server: tuple[ApiServer, str], tmp_path: Path, metrics: OperatorMetrics
) -> AsyncIterator[Cluster]:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "a",
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "clusters": [{"name": "a", "cluster": {"server": server[1]}}],
                "users": [{"name": "a", "user": {"token": "secret-token"}}],
            }
        )
    )
    connected = await Cluster.connect(
        {"KUBECONFIG": str(kubeconfig)}, metrics=metrics, patience_seconds=3
    )
    yield connected
    await connected.close()


async def test_a_request_says_who_we_are_and_what_we_mean(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    manifest = {"metadata": {"name": "j", "namespace": "team-a"}}
    await cluster.create(JOBS, manifest, namespace="team-a")
    await cluster.replace(CODE_EXPERTS, manifest, namespace="team-a", subresource="status")
    await cluster.merge(JOBS, "j", {"spec": {"suspend": True}}, uid="u", namespace="team-a")
    await cluster.delete(JOBS, "j", uid="u", namespace="team-a")

    asked = [(one["method"], one["path"], one["body"]) for one in server[0].requests]
    experts = "/apis/nanodex.dev/v1alpha1/namespaces/team-a/codeexperts"
    jobs = "/apis/batch/v1/namespaces/team-a/jobs"
    assert asked == [
        ("POST", jobs, manifest),
        ("PUT", f"{experts}/j/status", manifest),
        ("PATCH", f"{jobs}/j", {"spec": {"suspend": True}, "metadata": {"uid": "u"}}),
        (
            "DELETE",
            f"{jobs}/j",
            {"propagationPolicy": "Background", "preconditions": {"uid": "u"}},
        ),
    ]
    headers = server[0].requests[2]["headers"]
    assert headers["Authorization"] == "Bearer secret-token"
    assert headers["Content-Type"] == "application/merge-patch+json"


async def test_a_name_cannot_leave_its_place_in_the_path(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    await cluster.get(PODS, "../../secrets/x", namespace="team-a")

    assert server[0].requests[0]["path"] == "/api/v1/namespaces/team-a/pods/..%2F..%2Fsecrets%2Fx"


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (403, "Forbidden", Refused),
        (422, "Invalid", Refused),
        (400, "BadRequest", Refused),
    ],
)
async def test_an_answer_that_will_not_change_is_not_asked_for_again(
    cluster: Cluster,
    server: tuple[ApiServer, str],
    code: int,
    reason: str,
    kind: type[ClusterError],
) -> None:
    server[0].answers = [status(code, reason, "exceeded quota: gpus")]

    with pytest.raises(kind, match="exceeded quota: gpus") as caught:
        await cluster.create(JOBS, {"metadata": {"name": "j"}}, namespace="team-a")

    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert len(server[0].requests) == 1


@pytest.mark.parametrize("code", [401, 429, 500, 502, 503, 504])
async def test_an_api_server_in_trouble_is_asked_again(
    cluster: Cluster, server: tuple[ApiServer, str], code: int, metrics: OperatorMetrics
) -> None:
    server[0].answers = [status(code), status(code), web.json_response({"spec": {"a": 1}})]

    found = await cluster.get(LEASES, "l", namespace="n")

    assert found == {"spec": {"a": 1}}
    counted = f'api_requests_total{{code="{code}",resource="leases",verb="get"}} 2.0'
    assert counted in metrics.text().decode()


async def test_a_broken_connection_is_made_again(
    cluster: Cluster, server: tuple[ApiServer, str], metrics: OperatorMetrics
) -> None:
    server[0].answers = [None, web.json_response({"spec": {}})]

    assert await cluster.create(JOBS, {}, namespace="n") == {"spec": {}}
    assert 'code="0"' in metrics.text().decode()


async def test_patience_ends(cluster: Cluster, server: tuple[ApiServer, str]) -> None:
    server[0].answers = [status(503) for _ in range(1000)]

    with pytest.raises(Unavailable):
        await cluster.get(JOBS, "j", namespace="n")

    assert 2 <= len(server[0].requests) < 50


async def test_the_api_server_says_when_to_come_back(
    cluster: Cluster, server: tuple[ApiServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    server[0].answers = [status(429, **{"Retry-After": "7"}), status(429, **{"Retry-After": "999"})]

    await cluster.get(JOBS, "j", namespace="n")

    waits = [seconds for seconds in slept if seconds >= 1]
    assert waits == [7, 10]


async def test_what_is_gone_already_is_deleted(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    server[0].answers = [status(404, "NotFound")]

    await cluster.delete(JOBS, "j", uid="u", namespace="n")


async def test_a_listing_asks_for_nothing_but_metadata(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    items = [{"metadata": {"uid": "a"}}, {"metadata": {"uid": "b"}}]
    server[0].answers = [web.json_response({"items": items})]

    assert await cluster.list_uids(JOBS, namespace="n", labels="nanodex.dev/expert") == {"a", "b"}
    asked = server[0].requests[0]
    assert asked["path"].endswith("/jobs?labelSelector=nanodex.dev/expert")
    assert "as=PartialObjectMetadataList" in asked["headers"]["Accept"]


async def test_a_watch_shows_the_metadata_of_each_event_until_the_api_server_fails_it(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    # An object may be longer than a buffer.
    long = {"name": "a", "annotations": {"x": "y" * 50_000}}
    events = [
        {"type": "ADDED", "object": {"metadata": long}},
        {"type": "DELETED", "object": {"metadata": {"name": "b"}}},
        {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}},
        {"type": "ADDED", "object": {"metadata": {"name": "c"}}},
    ]
    server[0].answers = [web.Response(text="\n".join(map(json.dumps, events)))]
    found = []

    with pytest.raises(Unavailable, match="too old"):
        async for one in cluster.watch(PODS, namespace="n", labels="nanodex.dev/server"):
            found.append(one["metadata"]["name"])

    assert found == ["a", "b"]
    asked = server[0].requests[0]
    assert "/namespaces/n/pods?watch=1&labelSelector=nanodex.dev" in asked["path"]
    assert "as=PartialObjectMetadata;" in asked["headers"]["Accept"]
    assert asked["headers"]["Authorization"] == "Bearer secret-token"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(403, "Forbidden"), Refused),
        (web.json_response({}), Unavailable),
        (web.Response(text='{"type": "ADDED", "obj'), Unavailable),
        (web.json_response({"type": "ADDED", "object": {"x": "y" * 5_000_000}}), Unavailable),
    ],
)
async def test_a_watch_that_cannot_be_had_is_an_error(
    cluster: Cluster, server: tuple[ApiServer, str], answer: Any, error: type[ClusterError]
) -> None:
    server[0].answers = [answer]

    with pytest.raises(error):
        _ = [one async for one in cluster.watch(PODS, labels="nanodex.dev/server")]


async def test_a_listing_of_nothing_is_empty(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    server[0].answers = [web.json_response({"items": None})]

    assert await cluster.list_uids(JOBS) == frozenset()


async def test_all_objects_are_asked_for_page_by_page(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    server[0].answers = [
        web.json_response({"metadata": {"continue": "c/1"}, "items": [{"n": 1}, {"n": 2}]}),
        web.json_response({"metadata": {"continue": ""}, "items": [{"n": 3}]}),
    ]

    found = [thing["n"] async for thing in cluster.list_all(PODS, labels="nanodex.dev/expert")]

    assert found == [1, 2, 3]
    first, second = (asked["path"] for asked in server[0].requests)
    assert first == "/api/v1/pods?limit=250&labelSelector=nanodex.dev/expert"
    assert second == first + "&continue=c/1"


async def test_a_group_that_is_not_served_has_no_resources(
    cluster: Cluster, server: tuple[ApiServer, str]
) -> None:
    server[0].answers = [status(404), web.json_response({"resources": [{"name": "codeexperts"}]})]

    assert await cluster.served("nanodex.dev/v1alpha1") == frozenset()
    assert await cluster.served("nanodex.dev/v1alpha1") == {"codeexperts"}
