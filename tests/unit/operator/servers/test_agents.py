"""What agents answer becomes what plans read; what they answer wrongly becomes nothing."""

from typing import Any

import httpx
import pytest
from nanodex_operator.agents import Agents
from nanodex_operator.servers import read_report

from nanodex.api.agent_report import AdapterReport, AdapterState, AgentReport, EngineState
from nanodex.api.reasons import Reason
from tests.unit.operator.servers.conftest import digest


def one(number: int, state: AdapterState, name: str = "team/a", **fields: Any) -> AdapterReport:
    return AdapterReport(name=name, digest=digest(number), state=state, **fields)


def report(*adapters: AdapterReport) -> bytes:
    return (
        AgentReport(
            generation=7,
            engine=EngineState.READY,
            base_model="bundled://x",
            base_model_revision="abc",
            adapters=adapters,
        )
        .model_dump_json()
        .encode()
    )


def test_proved_is_loaded_and_quarantined_is_refused() -> None:
    read = read_report(
        "x",
        report(
            one(1, AdapterState.LOADED),
            one(2, AdapterState.STANDBY),
            one(3, AdapterState.PENDING),
            one(4, AdapterState.QUARANTINED, reason=Reason.RANK_TOO_HIGH, message="rank 64"),
        ),
    )

    assert (read.pod, read.set_generation) == ("x", 7)
    assert read.loaded == {digest(1), digest(2)}
    assert read.refused == {digest(4): ("RankTooHigh", "rank 64")}
    assert (read.base_model, read.base_model_revision) == ("bundled://x", "abc")


def test_bytes_that_two_experts_share_are_loaded_when_both_were_proved() -> None:
    both = (one(1, AdapterState.LOADED), one(1, AdapterState.PENDING, name="team/b"))

    assert read_report("x", report(*both)).loaded == frozenset()


def test_a_name_is_answered_by_its_active_version_alone() -> None:
    read = read_report(
        "x",
        report(
            one(1, AdapterState.LOADED, active=True),
            one(2, AdapterState.LOADED, name="team/b", active=False),
            one(3, AdapterState.PENDING, name="team/c", active=True),
            one(4, AdapterState.STANDBY, name="team/d", active=True),
        ),
    )

    assert read.names == {"team/a", "team/d"}


def test_an_agent_of_an_earlier_version_says_nothing_of_names() -> None:
    assert read_report("x", report(one(1, AdapterState.LOADED))).names is None


def test_an_agent_of_a_later_version_may_say_more() -> None:
    assert read_report("x", report()[:-1] + b',"more":{"x":1}}').set_generation == 7


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"generation":-1}', b"\xff"])
def test_what_is_no_report_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="no report"):
        read_report("x", body)


async def test_agents_that_do_not_answer_are_left_out() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        match request.url.host:
            case "10.0.0.1" | "fd00::1":
                return httpx.Response(200, content=report())
            case "10.0.0.2":
                return httpx.Response(503)
            case "10.0.0.3":
                return httpx.Response(302, headers={"location": "http://10.0.0.1:8001/status"})
            case "10.0.0.4":
                return httpx.Response(200, content=b"x" * (9 << 20))
        raise httpx.ConnectError("nobody there")

    addresses = {f"pod-{number}": f"10.0.0.{number}" for number in range(1, 6)}
    addresses |= {"pod-6": "fd00::1", "pod-7": "not an address", "pod-8": "10.0.0.1/x"}
    async with Agents(transport=httpx.MockTransport(answer)) as agents:
        reports = await agents.ask(addresses)

    assert [one.pod for one in reports] == ["pod-1", "pod-6"]
    assert "http://[fd00::1]:8001/status" in asked
    assert len(asked) == 6
