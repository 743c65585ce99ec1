"""One replica works; another one takes over when it is gone, and never beside it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.controlplane.operator.world import TASKS, Surroundings, World
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.outcome import Outcome

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(200)]

_LEASES = "coordination.k8s.io/v1/leases"
_LEASE = "nanodex-operator"


@dataclass
class Pair:
    """A world with an operator that works and one that waits."""

    world: World
    second: OperatorProcess
    gate: threading.Event = field(default_factory=threading.Event)
    silent_since: float = 0.0

    def holder(self) -> str:
        """Return which operator the lease names."""
        lease = self.world.api.get(_LEASES, _LEASE, namespace=self.world.release.namespace)
        name: str = lease["spec"]["holderIdentity"]
        return name

    def wait_until_second_waits(self) -> None:
        """Return once the second operator has seen whose the lease is."""
        self.world.until(lambda: self.second.said("waiting: operator-0 holds the lease"))


@contextlib.contextmanager
def pair_in(surroundings: Surroundings) -> Iterator[Pair]:
    with surroundings.world() as world:
        second = world.another_operator()
        second.start()
        pair = Pair(world, second)
        pair.wait_until_second_waits()
        yield pair


@pytest.fixture(scope="module", autouse=True)
def silenced(surroundings: Surroundings) -> Iterator[dict[str, Pair]]:
    """Two pairs whose first operator was killed and frozen: both second ones wait at once."""
    with contextlib.ExitStack() as stack:
        pairs = {how: stack.enter_context(pair_in(surroundings)) for how in ("killed", "frozen")}
        for pair, stage in zip(pairs.values(), ("dataset", "train"), strict=True):
            work = Outcome(until=pair.gate, work=pair.world.work)
            pair.world.node.script(work, stage=stage, expert="taken-over")
            pair.world.create("taken-over")
        for pair, stage in zip(pairs.values(), ("dataset", "train"), strict=True):
            pair.world.until_stage("taken-over", stage, "Running")
        for pair in pairs.values():
            assert pair.second.healthy()
            assert pair.second.metrics()["nanodex_operator_leader"] == 0
            pair.silent_since = time.monotonic()
        pairs["killed"].world.operator.kill()
        pairs["frozen"].world.operator.pause()
        yield pairs


@pytest.fixture
def pair(surroundings: Surroundings) -> Iterator[Pair]:
    """A pair of the test's own."""
    with pair_in(surroundings) as made:
        yield made


def test_one_that_is_asked_to_stop_hands_over_at_once(pair: Pair) -> None:
    started = time.monotonic()
    assert pair.world.operator.terminate() == 0
    pair.second.wait_until_leading()

    # Not the fifteen seconds of a lease that is left behind.
    assert time.monotonic() - started < 14
    assert pair.holder() == "operator-1"


def test_one_that_waits_can_be_stopped(pair: Pair) -> None:
    assert pair.second.terminate() == 0
    assert pair.holder() == "operator-0"


def test_one_whose_lease_was_taken_stops_at_once(pair: Pair) -> None:
    system = pair.world.release.namespace
    lease = pair.world.api.get(_LEASES, _LEASE, namespace=system)
    taken = {"spec": lease["spec"] | {"holderIdentity": "somebody-else"}}

    pair.world.api.patch(_LEASES, _LEASE, taken, namespace=system)

    assert pair.world.operator.wait() == 1
    assert pair.world.operator.said("somebody-else took the lease")


def test_the_second_one_takes_over_from_one_that_was_killed(silenced: dict[str, Pair]) -> None:
    pair = silenced["killed"]
    pair.gate.set()

    pair.second.wait_until_leading()
    # Not before the lease is old: the killed one might only have been slow.
    assert time.monotonic() - pair.silent_since > 10
    pair.world.until_ready("taken-over")

    assert pair.holder() == "operator-1"
    assert pair.world.work.tasks("taken-over") == TASKS


def test_one_that_was_frozen_does_no_harm_when_it_wakes(silenced: dict[str, Pair]) -> None:
    pair = silenced["frozen"]
    pair.second.wait_until_leading()
    pair.world.edit("taken-over", suspend=True)
    pair.world.until(lambda: pair.world.status("taken-over")["phase"] == "Suspended")

    pair.world.operator.resume()

    assert pair.world.operator.wait() == 1
    pair.world.settle("taken-over")
    assert pair.world.status("taken-over")["phase"] == "Suspended"
    assert pair.holder() == "operator-1"
