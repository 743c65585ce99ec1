"""What makes an expert that is served unready, and what does not."""

from typing import Any

from nanodex.api.status import ConditionType
from tests.unit.operator.plan.world import is_ready, stalled


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

    def test_an_agent_of_an_earlier_version_does_not_make_it_unready(self, served: Any) -> None:
        served.servers["qwen"].tells_names = False
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
