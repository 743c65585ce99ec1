"""A ModelServer is looked at when one of its Pods changes, also after a watch that broke."""

import asyncio
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
    """Shows one Pod, then breaks, again and again."""

    def __init__(self) -> None:
        self.asked: list[tuple[Resource, str, str]] = []

    async def watch(self, resource: Resource, *, namespace: str, labels: str) -> AsyncIterator[Any]:
        self.asked.append((resource, namespace, labels))
        yield {"metadata": {"name": "ms-smol-0", "labels": {"nanodex.dev/server": "smol"}}}
        raise Unavailable("it broke")


async def test_what_a_watch_shows_wakes_its_server_and_what_it_missed_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_pods, "_PAUSE_SECONDS", 0.001)
    cluster, watched, woken = Watching(), Watched(), list[str]()
    other = {"metadata": {"name": "qwen"}, "spec": {"baseModel": {"uri": "hf://a/b"}}}
    watched.servers.put(MemoryCluster().put(MODEL_SERVERS, other, namespace=""))

    def wake(name: str) -> None:
        if len(woken) == 4:
            raise StopWatching
        woken.append(name)

    with pytest.raises(StopWatching):
        await asyncio.wait_for(
            watch_server_pods(cluster, namespace="system", watched=watched, wake=wake),  # type: ignore[arg-type]
            5,
        )

    assert woken == ["qwen", "smol", "qwen", "smol"]
    assert set(cluster.asked) == {(PODS, "system", "nanodex.dev/server")}


class StopWatching(Exception):
    """Ends the test."""
