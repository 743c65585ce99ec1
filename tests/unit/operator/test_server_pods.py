"""A ModelServer is looked at when one of its Pods changes, also after a watch that broke."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from nanodex_operator import server_pods
from nanodex_operator.kinds import MODEL_SERVERS, PODS, Resource
from nanodex_operator.refusals import Unavailable
from nanodex_operator.server_pods import watch_server_pods
from nanodex_operator.watched import Watched

from tests.unit.operator.memory_cluster import MemoryCluster


class Watching:
    """Each watch does what stands at its place: shows a Pod, or fails."""

    def __init__(self, *watches: str) -> None:
        self._watches = list(watches)
        self.asked: list[tuple[Resource, str, str]] = []

    async def watch(self, resource: Resource, *, namespace: str, labels: str) -> AsyncIterator[Any]:
        self.asked.append((resource, namespace, labels))
        if not self._watches:
            raise NoMore
        for word in self._watches.pop(0).split():
            if word == "fails":
                raise Unavailable("it broke")
            yield {"metadata": {"name": "ms-0", "labels": {"nanodex.dev/server": word}}}


class NoMore(Exception):
    """Ends a test."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(server_pods.asyncio, "sleep", sleep)
    return found


async def woken(cluster: Watching) -> list[str]:
    watched, names = Watched(), list[str]()
    other = {"metadata": {"name": "qwen"}, "spec": {"baseModel": {"uri": "hf://a/b"}}}
    watched.servers.put(MemoryCluster().put(MODEL_SERVERS, other, namespace=""))
    with pytest.raises(NoMore):
        await watch_server_pods(
            cluster,  # type: ignore[arg-type]
            namespace="system",
            watched=watched,
            wake=names.append,
        )
    return names


async def test_what_a_watch_shows_wakes_its_server_and_what_it_missed_all_of_them(
    pauses: list[float],
) -> None:
    cluster = Watching("smol smol", "smol fails")

    assert await woken(cluster) == ["qwen", "smol", "smol", "qwen", "smol", "qwen"]
    assert set(cluster.asked) == {(PODS, "system", "nanodex.dev/server")}


async def test_an_api_server_that_fails_gets_rest_and_one_that_answers_is_asked_soon(
    pauses: list[float],
) -> None:
    await woken(Watching(*["fails"] * 7, "smol fails", "smol"))

    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 2.0, 1.0]
