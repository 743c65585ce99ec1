"""SIGKILL after every single write, and a restart: the same end, and no second Job."""

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from tests.controlplane.operator.world import TASKS, Surroundings
from tests.controlplane.operator_process import ForkedOperator
from tests.controlplane.proxy import Cut, Proxy, writes

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]


def test_the_end_is_the_same(surroundings: Surroundings, tmp_path: Path) -> None:
    killed: list[str] = []
    fell = threading.Event()
    with contextlib.ExitStack() as stack:

        def through_a_proxy(kubeconfig: Path) -> Path:
            found = stack.enter_context(Proxy(kubeconfig))
            proxies.append(found)
            return found.kubeconfig(tmp_path)

        proxies: list[Proxy] = []
        world = stack.enter_context(
            surroundings.world(login=through_a_proxy, process=ForkedOperator, started=False)
        )
        [proxy], operator = proxies, world.operator
        assert isinstance(operator, ForkedOperator)

        def strike(request: web.Request) -> None:
            """The write is done; the operator never hears of it."""
            if writes(request) and not fell.is_set():
                operator.strike()
                killed.append(f"{request.method} {request.path}")
                fell.set()
                raise Cut

        proxy.after = strike
        world.create("killed")
        operator.start()
        deadline = time.monotonic() + 200
        while world.status("killed").get("phase") != "Ready" or fell.is_set():
            assert time.monotonic() < deadline, f"{killed}\n{operator.tail()}"
            if fell.wait(0.2):
                operator.reap()
                fell.clear()
                operator.start()
        # Whatever it would still write is written now.
        proxy.after = lambda request: None
        world.settle("killed")
        expert = world.until_ready("killed")

        # One for each Job, and a status that says so first; the end of each may come with the next.
        kinds = Counter(write.rsplit("/", 1)[-1] for write in killed)
        assert (kinds["jobs"], kinds["status"] > len(TASKS)) == (len(TASKS), True), killed
        assert world.work.tasks("killed") == TASKS
        assert len(set(world.work.jobs("killed"))) == len(TASKS)
        entries = expert["status"]["stages"]
        assert [entry["state"] for entry in entries] == ["Succeeded"] * 6
        assert [entry["attempts"] for entry in entries] == [1] * 6
        operator.kill()
