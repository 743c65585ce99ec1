"""The API server refuses, loses answers, is slow, is away, or has another client: the same end."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from nanodex.api.stages import StageName
from nanodex.artifacts import list_manifests, open_store
from tests.controlplane.operator.world import EXPERTS, TASKS, Surroundings, World
from tests.controlplane.outcome import Outcome
from tests.controlplane.proxy import Cut, Proxy, writes

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]

_REASONS = {
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True)
class Proxied:
    """A world whose operator reaches the API server through a proxy."""

    world: World
    proxy: Proxy


@pytest.fixture(scope="module")
def proxied(
    surroundings: Surroundings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """One for all tests; each gives the proxy back as it was."""
    with contextlib.ExitStack() as stack:
        proxies: list[Proxy] = []

        def login(kubeconfig: Path) -> Path:
            proxies.append(stack.enter_context(Proxy(kubeconfig)))
            return proxies[-1].kubeconfig(tmp_path_factory.mktemp("proxy"))

        world = stack.enter_context(surroundings.world(login=login))
        yield Proxied(world, proxies[0])


def refusal(code: int) -> web.Response:
    """Return what the API server says with an error."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": _REASONS[code],
        "message": "for a test",
        "code": code,
    }
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(body, status=code, headers=headers)


class Storm:
    """Refuses every third write, and loses the answer to every fifth one that was done.

    Attributes:
        refused: codes, in order.
        lost: answers that nobody got.
    """

    def __init__(self) -> None:
        self.refused: list[int] = []
        self.lost = 0
        self._codes = itertools.cycle((500, 429, 409))
        self._asked = itertools.count(1)
        self._done = itertools.count(1)

    def before(self, request: web.Request) -> web.Response | None:
        """Refuse."""
        if not writes(request) or next(self._asked) % 3:
            return None
        self.refused.append(next(self._codes))
        return refusal(self.refused[-1])

    def after(self, request: web.Request) -> None:
        """Lose the answer."""
        if writes(request) and next(self._done) % 5 == 0:
            self.lost += 1
            raise Cut


def test_writes_that_are_refused_or_whose_answer_is_lost_are_done_once(proxied: Proxied) -> None:
    world, proxy, storm = proxied.world, proxied.proxy, Storm()
    proxy.before, proxy.after = storm.before, storm.after
    try:
        for name in ("stormy", "stormier"):
            world.create(name)
        world.until(lambda: world.work.tasks("stormy"))
        proxy.cut_watches()
        for name in ("stormy", "stormier"):
            world.until_ready(name)
    finally:
        proxy.before, proxy.after = (lambda request: None), (lambda request: None)

    assert set(storm.refused) == {500, 429, 409}
    assert storm.lost > 2
    for name in ("stormy", "stormier"):
        assert world.work.tasks(name) == TASKS
        assert len(world.jobs(name)) == len(TASKS)


def test_another_writer_of_the_status_changes_nothing_for_long(proxied: Proxied) -> None:
    world = proxied.world
    world.create("contended")
    done = threading.Event()

    def meddle() -> None:
        """Write into the status, and into the metadata, as fast as a bad controller does."""
        for number in itertools.count():
            place = {"resource": EXPERTS, "name": "contended", "namespace": world.namespace}
            forged = {"status": {"message": f"forged {number}", "phase": "Forged"}}
            world.api.patch(**place, body=forged, subresource="status")
            noted = {"metadata": {"annotations": {"example.com/number": str(number)}}}
            world.api.patch(**place, body=noted)
            if done.wait(0.2):
                return

    meddling = threading.Thread(target=meddle)
    meddling.start()
    try:
        world.until(lambda: "evaluate" in world.work.tasks("contended"))
    finally:
        done.set()
        meddling.join()

    status = world.until_ready("contended")["status"]
    world.until(lambda: "forged" not in world.status("contended")["message"])
    assert status["active"]["score"] == "0.7"
    assert world.work.tasks("contended") == TASKS
    assert len(world.jobs("contended")) == len(TASKS)


def test_what_goes_while_no_watch_is_open_is_missed_afterwards(proxied: Proxied) -> None:
    world, proxy = proxied.world, proxied.proxy
    store = open_store(world.work.store)

    def kept(key: str) -> bool:
        found = list_manifests(store, scope=world.namespace, stage=StageName.TRAIN)
        return key in {manifest.key for manifest, _ in found}

    world.create("vanishing", artifacts={"deletionPolicy": "Delete"})
    key = world.until_ready("vanishing")["status"]["active"]["key"]
    assert kept(key)
    proxy.before = lambda request: refusal(503) if request.query.get("watch") == "true" else None
    try:
        proxy.cut_watches()
        world.delete("vanishing")
        world.until(lambda: world.nothing_is_left("vanishing"))
    finally:
        proxy.before = lambda request: None

    world.until(lambda: not kept(key))


def test_an_api_server_that_was_away_is_waited_for(proxied: Proxied) -> None:
    world = proxied.world
    gate = threading.Event()
    world.node.script(Outcome(until=gate, work=world.work), stage="train", expert="restarted")
    world.create("restarted")
    job = world.until_stage("restarted", "train", "Running")["job"]

    world.plane.stop_apiserver()
    gate.set()
    world.plane.start_apiserver()

    world.until_ready("restarted")
    assert world.stage("restarted", "train")["job"] == job
    assert world.work.tasks("restarted") == TASKS


def test_a_slow_etcd_makes_it_slow_and_nothing_else(proxied: Proxied) -> None:
    world = proxied.world
    with world.plane.etcd_slow(paused=0.1):
        world.create("slow")
        world.until_ready("slow", seconds=150)

    assert world.work.tasks("slow") == TASKS
    assert len(world.jobs("slow")) == len(TASKS)
