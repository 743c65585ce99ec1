"""Which server, which adapter, and when one takes over from another."""

from typing import Any

import pytest
from nanodex_operator.plan import desired_adapters

from nanodex.api.status import ConditionType, StageState

OTHER_BASE = "hf://Qwen/Qwen2.5-Coder-14B-Instruct"


def stalled(world: Any) -> str:
    condition = world.condition(ConditionType.STALLED)
    return condition.reason if condition is not None else ""


def is_ready(world: Any) -> bool:
    return world.condition(ConditionType.READY).status == "True"


def train_anew(world: Any, epochs: int) -> None:
    """Let an adapter with other weights pass the gate."""
    world.edit(training__epochs=epochs)
    world.run("train", "evaluate")


def up_to_training(world: Any) -> None:
    world.run("resolve", "extract", "brain", "dataset")


@pytest.fixture
def served(world: Any) -> Any:
    world.become_ready()
    return world


@pytest.fixture
def make_server(make_world: Any) -> Any:
    def make(name: str, **spec: Any) -> Any:
        return type(make_world().servers["qwen"])(name, **spec)

    return make


class TestBinding:
    def test_the_one_server_with_the_base_model_is_taken(
        self, world: Any, make_server: Any
    ) -> None:
        world.servers["big"] = make_server("big", baseModel={"uri": OTHER_BASE})
        world.settle()
        assert world.status.serving.server == "qwen"
        assert world.status.serving.model == "team-a/payments-api"
        assert world.status.serving.url == "http://qwen.nanodex-system.svc/v1"

    def test_of_several_one_must_be_named(self, world: Any, make_server: Any) -> None:
        world.servers["other"] = make_server("other")
        up_to_training(world)
        assert (world.status.serving.server, stalled(world)) == ("", "NoServer")
        assert "qwen" in world.status.message
        assert "serving.serverRef" in world.status.message
        world.edit(serving__serverRef={"name": "other"})
        world.settle()
        assert world.status.serving.server == "other"
        assert world.job("train")

    def test_a_second_server_takes_nobody_from_the_first(
        self, served: Any, make_server: Any
    ) -> None:
        served.servers["other"] = make_server("other")
        served.settle()
        assert (served.status.serving.server, stalled(served)) == ("qwen", "")

    def test_a_namespace_that_is_not_admitted_has_no_server(self, world: Any) -> None:
        world.servers["qwen"].admits = False
        up_to_training(world)
        assert stalled(world) == "NoServer"
        assert "team-a" in world.status.message

    @pytest.mark.parametrize(
        ("server", "expert", "fits"), [("v1", "v2", False), ("v1", "", True), ("", "v2", True)]
    )
    def test_revisions_are_compared_where_both_are_given(
        self, world: Any, make_server: Any, server: str, expert: str, fits: bool
    ) -> None:
        uri = world.expert.spec.base_model.uri
        world.servers = {"qwen": make_server("qwen", baseModel={"uri": uri, "revision": server})}
        world.edit(baseModel__revision=expert)
        world.settle()
        assert (world.status.serving.server == "qwen") is fits


class TestBeforeTraining:
    def blocked(self, world: Any) -> tuple[str, bool]:
        up_to_training(world)
        entry = world.stage("train")
        assert entry.state is StageState.WAITING
        return entry.failure.reason, any(job.task == "train" for job in world.created)

    def test_a_server_must_exist(self, world: Any) -> None:
        world.servers.clear()
        assert self.blocked(world) == ("NoServer", False)
        assert world.status.phase == "Waiting"

    def test_the_rank_must_fit(self, world: Any) -> None:
        world.edit(training__lora={"r": 64})
        assert self.blocked(world) == ("RankTooHigh", False)

    def test_the_server_must_have_room(self, world: Any, make_server: Any) -> None:
        world.servers["qwen"] = make_server("qwen", adapters={"capacity": 2})
        world.servers["qwen"].others = frozenset({"team-b/one", "team-b/two"})
        assert self.blocked(world) == ("ServerAtCapacity", False)
        world.servers["qwen"].others = frozenset({"team-b/one"})
        world.settle()
        assert world.job("train")

    def test_two_that_took_the_last_place_agree_who_has_it(
        self, world: Any, make_server: Any
    ) -> None:
        world.servers["qwen"] = make_server("qwen", adapters={"capacity": 1})
        world.settle()
        assert world.status.serving.server == "qwen"
        world.servers["qwen"].others = frozenset({"team-0/earlier"})
        assert self.blocked(world) == ("ServerAtCapacity", False)
        assert world.status.serving.server == ""

    def test_one_that_needs_no_server_trains(self, world: Any) -> None:
        world.servers.clear()
        world.edit(serving__enabled=False)
        up_to_training(world)
        assert world.job("train")

    def test_a_run_that_has_begun_is_not_given_up(self, world: Any) -> None:
        up_to_training(world)
        world.start("train")
        world.servers.clear()
        world.settle()
        assert world.stage("train").state is StageState.RUNNING


class TestTakingOver:
    def test_the_first_adapter_answers_once_every_ready_replica_holds_it(self, world: Any) -> None:
        server = world.servers["qwen"]
        server.ready = 2
        world.run()
        assert world.status.candidate is not None
        assert world.status.phase == "Loading"
        wanted = desired_adapters(world.status, world.expert, server="qwen")
        assert (wanted.digests, wanted.alias) == ((world.status.candidate.digest,), "")
        server.take(wanted.digests)
        server.sync(0)
        world.settle()
        assert world.status.active is None
        server.sync(1)
        world.settle()
        assert world.status.active.digest == wanted.digests[0]
        assert (world.status.candidate, world.status.serving.loaded) == (None, "2/2")
        assert is_ready(world)

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
        server.take(desired_adapters(served.status, served.expert, server="qwen").digests)
        server.agents = [(server.generation - 1, frozenset(server.desired))]
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


class TestAfterwards:
    def test_a_change_of_another_expert_does_not_make_it_unready(self, served: Any) -> None:
        served.servers["qwen"].generation += 1
        before = served.status
        served.settle()
        assert served.status == before

    def test_agents_that_do_not_answer_do_not_make_it_unready(self, served: Any) -> None:
        served.servers["qwen"].agents = []
        before = served.status
        served.settle()
        assert served.status == before

    def test_a_status_that_somebody_wrote_by_hand_does_no_harm(self, served: Any) -> None:
        forged = served.status.serving.model_copy(update={"loaded": "many/1"})
        served.stored.status = served.status.model_copy(update={"serving": forged})
        served.servers["qwen"].agents = []
        served.settle()
        assert served.status.serving.loaded == "0/1"
        served.serve()
        served.settle()
        assert served.status.serving.loaded == "1/1"

    def test_a_server_without_replicas_does(self, served: Any) -> None:
        served.servers["qwen"].ready = 0
        served.settle()
        assert not is_ready(served)
        assert served.condition(ConditionType.READY).reason == "ServerNotReady"
        assert served.status.serving.loaded == "0/0"

    def test_more_replicas_are_counted(self, served: Any) -> None:
        server = served.servers["qwen"]
        server.ready = 3
        server.sync(0)
        served.settle()
        assert (served.status.serving.loaded, is_ready(served)) == ("1/3", True)
        assert served.condition(ConditionType.ADAPTER_LOADED).status == "False"

    def test_a_namespace_that_is_put_out_loses_its_place(self, served: Any) -> None:
        served.servers["qwen"].admits = False
        served.settle()
        assert served.status.serving.server == ""
        assert (is_ready(served), stalled(served)) == (False, "NoServer")

    def test_a_server_that_is_gone_for_a_moment_is_not_forgotten(self, served: Any) -> None:
        server = served.servers.pop("qwen")
        served.settle()
        assert (served.status.serving.server, is_ready(served)) == ("qwen", False)
        # Whether it comes back nobody knows.
        assert stalled(served) == "NoServer"
        served.servers["qwen"] = server
        served.settle()
        assert (is_ready(served), stalled(served)) == (True, "")


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


class TestMoving:
    def test_another_base_model_answers_only_when_its_server_holds_the_new_adapter(
        self, served: Any, make_server: Any
    ) -> None:
        served.servers["big"] = make_server("big", baseModel={"uri": OTHER_BASE})
        served.servers["big"].sync()
        old = served.status.active
        served.edit(baseModel__uri=OTHER_BASE)
        served.revision = "revision-big"
        served.run("resolve", "brain", "dataset", "train", "evaluate")
        serving = served.status.serving
        assert (serving.server, serving.next_server) == ("qwen", "big")
        assert (served.status.active, is_ready(served)) == (old, True)
        new = served.status.candidate.digest
        assert desired_adapters(served.status, served.expert, server="qwen").digests == (
            old.digest,
        )
        assert desired_adapters(served.status, served.expert, server="big").digests == (new,)
        served.serve()
        served.settle()
        serving = served.status.serving
        assert (serving.server, serving.next_server) == ("big", "")
        assert served.status.active.digest == new
        served.edit(serving__pin=old.digest)
        served.settle()
        assert stalled(served) == "PinNotFound"

    def test_another_server_of_the_same_base_model_takes_over_when_it_holds_the_adapter(
        self, served: Any, make_server: Any
    ) -> None:
        served.servers["other"] = make_server("other")
        served.servers["other"].sync()
        served.edit(serving__serverRef={"name": "other"})
        served.settle()
        assert served.status.serving.server == "qwen"
        assert served.status.serving.next_server == "other"
        served.serve()
        served.settle()
        assert served.status.serving.server == "other"
        assert served.status.serving.next_server == ""
        assert desired_adapters(served.status, served.expert, server="qwen").digests == ()

    def test_a_base_model_without_a_server_leaves_the_old_adapter_where_it_is(
        self, served: Any
    ) -> None:
        served.edit(baseModel__uri=OTHER_BASE)
        served.revision = "revision-big"
        served.run("resolve", "brain", "dataset")
        assert served.stage("train").failure.reason == "NoServer"
        assert served.status.serving.server == "qwen"
        assert is_ready(served)

    def test_serving_switched_off_and_on_again(self, served: Any) -> None:
        served.edit(serving__enabled=False)
        served.settle()
        assert served.status.serving.server == ""
        assert desired_adapters(served.status, served.expert, server="qwen").digests == ()
        served.edit(serving__enabled=True)
        served.settle()
        served.serve()
        served.settle()
        assert (served.status.serving.loaded, is_ready(served)) == ("1/1", True)
