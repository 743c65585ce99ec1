"""One replica works, whatever the clocks of the machines say; the next one begins in time."""

import asyncio
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.kinds import Resource
from nanodex_operator.lease import Lease, LeaseLost, Sighting, Terms
from nanodex_operator.refusals import AlreadyExists, Conflict, NotFound, Unavailable


class OneLease:
    """An API server with one Lease, and a clock."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.now = 1000.0
        self.away = False

    async def get(self, resource: Resource, name: str, *, namespace: str) -> Mapping[str, Any]:
        self._answer()
        if self.stored is None:
            raise NotFound("no lease", code=404)
        return copy.deepcopy(self.stored)

    async def create(
        self, resource: Resource, manifest: Mapping[str, Any], *, namespace: str
    ) -> Mapping[str, Any]:
        self._answer()
        if self.stored is not None:
            raise AlreadyExists("there", code=409)
        return self._store(manifest)

    async def replace(
        self, resource: Resource, manifest: Mapping[str, Any], *, namespace: str
    ) -> Mapping[str, Any]:
        self._answer()
        if manifest["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("newer", code=409)
        return self._store(manifest)

    def _store(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        self.version += 1
        self.stored = copy.deepcopy(dict(manifest))
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.stored)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("away")

    @property
    def holder(self) -> str:
        assert self.stored is not None
        return str(self.stored["spec"]["holderIdentity"])


@pytest.fixture
def api() -> OneLease:
    return OneLease()


def replica(api: OneLease, name: str, *, behind: float = 0.0) -> Lease:
    terms = Terms(duration=15, deadline=10, period=0.001)
    return Lease(
        api,  # type: ignore[arg-type]
        namespace="nanodex-system",
        identity=name,
        terms=terms,
        clock=lambda: api.now - behind,
    )


async def test_the_first_replica_takes_the_lease(api: OneLease) -> None:
    first = replica(api, "first")

    await first.acquire()

    assert first.held
    assert api.holder == "first"


async def test_a_second_replica_waits_and_takes_over_when_the_first_is_silent(
    api: OneLease,
) -> None:
    first, second = replica(api, "first"), replica(api, "second", behind=500)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.02)
    assert not second.held

    api.now += 14
    await asyncio.sleep(0.02)
    assert not second.held
    assert not first.held  # It stopped four seconds before anybody else may begin.

    api.now += 2
    await waiting
    assert second.held
    assert api.stored is not None
    assert api.stored["spec"]["leaseTransitions"] == 1


async def test_a_renewal_keeps_the_others_waiting(api: OneLease) -> None:
    first, second = replica(api, "first"), replica(api, "second")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(second.acquire())
    for _ in range(10):
        api.now += 5
        await asyncio.sleep(0.01)

    assert first.held
    assert not second.held
    for task in (holding, waiting):
        task.cancel()
    await asyncio.gather(holding, waiting, return_exceptions=True)


async def test_a_lease_that_cannot_be_renewed_is_lost_before_another_may_take_it(
    api: OneLease,
) -> None:
    first = replica(api, "first")
    await first.acquire()
    api.away = True
    holding = asyncio.create_task(first.hold())
    await asyncio.sleep(0.01)
    assert first.held

    api.now += 10
    assert not first.held
    with pytest.raises(LeaseLost, match="was not renewed"):
        await holding


async def test_a_lease_that_somebody_else_took_is_lost_at_once(api: OneLease) -> None:
    first = replica(api, "first")
    await first.acquire()
    assert api.stored is not None
    api.stored["spec"]["holderIdentity"] = "usurper"

    with pytest.raises(LeaseLost, match="usurper took the lease"):
        await first.hold()


async def test_a_lease_that_was_given_back_is_taken_at_once(api: OneLease) -> None:
    first, second = replica(api, "first"), replica(api, "second")
    await first.acquire()
    await first.release()
    assert not first.held

    await second.acquire()

    assert second.held


async def test_giving_back_takes_nothing_from_another(api: OneLease) -> None:
    first = replica(api, "first")
    await first.acquire()
    assert api.stored is not None
    api.stored["spec"]["holderIdentity"] = "second"

    await first.release()

    assert api.holder == "second"


async def test_an_api_server_that_is_away_only_delays_the_start(api: OneLease) -> None:
    first = replica(api, "first")
    api.away = True
    starting = asyncio.create_task(first.acquire())
    await asyncio.sleep(0.01)
    api.away = False

    await starting

    assert first.held


@given(
    said=st.none() | st.integers(-1, 10**9) | st.text(max_size=3),
    silent=st.floats(0, 10**6),
)
def test_nobody_is_locked_out_and_nobody_is_robbed(said: Any, silent: float) -> None:
    seen = Sighting()
    spec = {"holderIdentity": "other", "leaseDurationSeconds": said}
    seen.note(spec, now=100.0)
    seen.note(dict(spec), now=100.0 + silent)

    taken = seen.may_be_taken(identity="me", now=100.0 + silent, duration=15)

    if silent >= 150:
        assert taken
    if silent < 15 and not (isinstance(said, int) and 0 < said < 15):
        assert not taken
