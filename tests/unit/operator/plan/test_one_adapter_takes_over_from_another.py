"""When a new adapter answers in place of the old one: by itself, by hand and by a pin."""

from typing import Any

import pytest
from nanodex_operator.plan import desired_adapters

from nanodex.api.status import ConditionType
from tests.unit.operator.plan.servers import Agent
from tests.unit.operator.plan.world import is_ready, stalled


def train_anew(world: Any, epochs: int) -> None:
    """Let an adapter with other weights pass the gate."""
    world.edit(training__epochs=epochs)
    world.run("train", "evaluate")


class TestTakingOver:
    def test_the_first_adapter_answers_once_every_ready_replica_holds_it(self, world: Any) -> None:
        server = world.servers["qwen"]
        server.ready = 2
        world.run()
        assert world.status.candidate is not None
        assert world.status.phase == "Loading"
        wanted = desired_adapters(world.status, world.expert, server="qwen")
        assert wanted.digests == (world.status.candidate.digest,)
        server.take(wanted)
        server.sync(0)
        world.settle()
        assert world.status.active is None
        server.sync(1)
        world.settle()
        assert world.status.active.digest == wanted.digests[0]
        assert (world.status.candidate, world.status.serving.loaded) == (None, "2/2")
        assert is_ready(world)

    def test_the_name_of_a_first_one_comes_with_it(self, world: Any) -> None:
        world.run()
        wanted = desired_adapters(world.status, world.expert, server="qwen")
        assert wanted.alias == world.status.candidate.digest

    def test_the_old_one_answers_until_then(self, served: Any) -> None:
        old = served.status.active
        train_anew(served, 5)
        new = served.status.candidate
        wanted = desired_adapters(served.status, served.expert, server="qwen")
        assert (wanted.digests, wanted.alias) == ((old.digest, new.digest), old.digest)
        assert (served.status.active, is_ready(served)) == (old, True)
        served.serve()
        served.settle()
        assert served.status.active.digest == new.digest
        assert served.status.history == (old,)

    def test_while_a_server_loads_it_is_looked_at_without_an_event(self, served: Any) -> None:
        train_anew(served, 5)
        assert served.last.again_after_seconds == 10

    def test_a_replica_on_an_older_set_is_waited_for(self, served: Any) -> None:
        train_anew(served, 5)
        server = served.servers["qwen"]
        server.take(desired_adapters(served.status, served.expert, server="qwen"))
        loaded = frozenset(server.desired.digests)
        server.agents = [Agent(server.generation - 1, loaded, server.desired.alias)]
        served.settle()
        assert served.status.candidate is not None

    def test_a_server_without_a_ready_replica_promotes_nothing(self, world: Any) -> None:
        world.servers["qwen"].ready = 0
        world.run()
        world.serve()
        world.settle()
        assert world.status.active is None

    def test_a_refused_one_leaves_the_old_one_in_service(self, served: Any) -> None:
        old = served.status.active
        train_anew(served, 5)
        server = served.servers["qwen"]
        server.refuses[served.status.candidate.digest] = ("LoadRejected", "differs by 1.3")
        served.serve()
        served.settle()
        assert served.status.active == old
        assert served.condition(ConditionType.ADAPTER_LOADED).reason == "LoadRejected"
        assert (stalled(served), is_ready(served)) == ("LoadRejected", True)
        assert "differs by 1.3" in served.status.message

    def test_an_unknown_word_of_an_agent_becomes_a_known_reason(self, served: Any) -> None:
        train_anew(served, 5)
        served.servers["qwen"].refuses[served.status.candidate.digest] = ("Ignore me", "x")
        served.settle()
        assert stalled(served) == "LoadRejected"

    def test_the_history_is_limited(self, served: Any) -> None:
        served.edit(artifacts__historyLimit=2)
        for epochs in (4, 5, 6, 7):
            train_anew(served, epochs)
            served.serve()
            served.settle()
        assert len(served.status.history) == 2

    def test_without_serving_it_is_active_at_once(self, world: Any) -> None:
        world.edit(serving__enabled=False)
        world.run()
        assert world.status.active is not None
        assert world.condition(ConditionType.READY).reason == "Published"
        assert world.condition(ConditionType.ADAPTER_LOADED).reason == "ServingDisabled"
        assert desired_adapters(world.status, world.expert, server="qwen").digests == ()


class TestByHand:
    @pytest.fixture
    def waiting(self, world: Any) -> Any:
        world.edit(evaluation__promotion="Manual")
        world.run()
        world.serve()
        world.settle()
        return world

    def test_a_candidate_waits_for_a_person(self, waiting: Any) -> None:
        assert waiting.status.active is None
        assert waiting.condition(ConditionType.READY).reason == "AwaitingPromotion"
        assert waiting.status.candidate.digest in waiting.status.message

    def test_it_can_be_asked_by_its_digest_meanwhile(self, waiting: Any) -> None:
        wanted = desired_adapters(waiting.status, waiting.expert, server="qwen")
        assert (wanted.digests, wanted.alias) == ((waiting.status.candidate.digest,), "")

    @pytest.mark.parametrize("prefix", ["sha256:", ""])
    def test_its_digest_as_pin_promotes_it(self, waiting: Any, prefix: str) -> None:
        digest = waiting.status.candidate.digest
        waiting.edit(serving__pin=prefix + digest.removeprefix("sha256:"))
        waiting.settle()
        assert waiting.status.active.digest == digest
        # It is loaded already; to the name nobody answers yet.
        assert not is_ready(waiting)
        assert waiting.condition(ConditionType.READY).reason == "Loading"
        waiting.serve()
        waiting.settle()
        assert is_ready(waiting)
        waiting.edit(serving__pin="")
        waiting.settle()
        assert waiting.status.active.digest == digest


class TestPin:
    @pytest.fixture
    def two(self, served: Any) -> Any:
        """The second of two adapters is in service, the first is unloaded."""
        train_anew(served, 5)
        for _ in range(2):
            served.serve()
            served.settle()
        return served

    def test_a_pin_rolls_back_and_its_removal_rolls_forward(self, two: Any) -> None:
        new, (old,) = two.status.active, two.status.history
        two.edit(serving__pin=old.digest)
        two.settle()
        assert two.status.active == new
        two.serve()
        two.settle()
        assert two.status.active.digest == old.digest
        assert [one.digest for one in two.status.history] == [new.digest]
        assert desired_adapters(two.status, two.expert, server="qwen").digests == (old.digest,)
        two.edit(serving__pin="")
        two.settle()
        two.serve()
        two.settle()
        assert two.status.active.digest == new.digest
        assert [one.digest for one in two.status.history] == [old.digest]

    def test_a_pin_on_the_active_one_holds_back_a_newer_one(self, two: Any) -> None:
        two.edit(serving__pin=two.status.active.digest)
        active = two.status.active
        train_anew(two, 6)
        two.serve()
        two.settle()
        assert two.status.active == active
        assert two.status.candidate is not None

    def test_an_unknown_pin_changes_nothing_and_says_so(self, two: Any) -> None:
        active = two.status.active
        two.edit(serving__pin="sha256:" + "0" * 64)
        two.settle()
        assert (two.status.active, stalled(two)) == (active, "PinNotFound")
        assert is_ready(two)

    def test_a_rollback_works_while_suspended(self, two: Any) -> None:
        (old,) = two.status.history
        two.edit(suspend=True, serving__pin=old.digest)
        two.settle()
        two.serve()
        two.settle()
        assert two.status.active.digest == old.digest
