"""Which server an expert is bound to, what it must offer before training, and how one moves."""

from typing import Any

import pytest
from nanodex_operator.plan import desired_adapters

from nanodex.api.status import StageState
from tests.unit.operator.plan.servers import OTHER_BASE, Server
from tests.unit.operator.plan.world import is_ready, stalled


def up_to_training(world: Any) -> None:
    world.run("resolve", "extract", "brain", "dataset")


class TestBinding:
    def test_the_one_server_with_the_base_model_is_taken(self, world: Any) -> None:
        world.servers["big"] = Server("big", baseModel={"uri": OTHER_BASE})
        world.settle()
        assert world.status.serving.server == "qwen"
        assert world.status.serving.model == "team-a/payments-api"
        assert world.status.serving.url == "http://qwen.nanodex-system.svc/v1"

    def test_of_several_one_must_be_named(self, world: Any) -> None:
        world.servers["other"] = Server("other")
        up_to_training(world)
        assert (world.status.serving.server, stalled(world)) == ("", "NoServer")
        assert "qwen" in world.status.message
        assert "serving.serverRef" in world.status.message
        world.edit(serving__serverRef={"name": "other"})
        world.settle()
        assert world.status.serving.server == "other"
        assert world.job("train")

    def test_a_second_server_takes_nobody_from_the_first(self, served: Any) -> None:
        served.servers["other"] = Server("other")
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
        self, world: Any, server: str, expert: str, fits: bool
    ) -> None:
        uri = world.expert.spec.base_model.uri
        world.servers = {"qwen": Server("qwen", baseModel={"uri": uri, "revision": server})}
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

    def test_the_server_must_have_room(self, world: Any) -> None:
        world.servers["qwen"] = Server("qwen", adapters={"capacity": 2})
        world.servers["qwen"].others = frozenset({"team-b/one", "team-b/two"})
        assert self.blocked(world) == ("ServerAtCapacity", False)
        world.servers["qwen"].others = frozenset({"team-b/one"})
        world.settle()
        assert world.job("train")

    def test_two_that_took_the_last_place_agree_who_has_it(self, world: Any) -> None:
        world.servers["qwen"] = Server("qwen", adapters={"capacity": 1})
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


class TestMoving:
    def test_another_base_model_answers_only_when_its_server_holds_the_new_adapter(
        self, served: Any
    ) -> None:
        served.servers["big"] = Server("big", baseModel={"uri": OTHER_BASE})
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
        wanted = desired_adapters(served.status, served.expert, server="big")
        assert (wanted.digests, wanted.alias) == ((new,), new)
        served.serve()
        served.settle()
        assert is_ready(served)
        serving = served.status.serving
        assert (serving.server, serving.next_server) == ("big", "")
        assert served.status.active.digest == new
        served.edit(serving__pin=old.digest)
        served.settle()
        assert stalled(served) == "PinNotFound"

    def test_another_server_of_the_same_base_model_takes_over_when_it_holds_the_adapter(
        self, served: Any
    ) -> None:
        served.servers["other"] = Server("other")
        served.servers["other"].sync()
        served.edit(serving__serverRef={"name": "other"})
        served.settle()
        assert served.status.serving.server == "qwen"
        assert served.status.serving.next_server == "other"
        served.serve()
        served.settle()
        assert is_ready(served)
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
