"""Operator killed and store away while each stage runs: each is done once and none is lost."""

import time

import pytest

from hack.kind.demo.objects import SYSTEM
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from tests.cluster.faults import Faults
from tests.cluster.product import OPERATOR, Product, conditions
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]
_AWAY_SECONDS = 60
_NAME = "struck"


def test_the_operator_is_killed_and_the_store_is_away_in_each(
    served: Product, faults: Faults
) -> None:
    begin = time.time()
    # What others learned cannot be reused: every stage runs.
    served.want(
        _NAME,
        namespace=OTHER_TEAM,
        git={"exclude": ["src/parcelry/tracking.py"]},
        spec={"training": {"epochs": 1, "seed": 5}},
    )
    try:
        for stage in StageName:
            _strike(served, stage)
        served.until(lambda: _is_ready(served), seconds=900)
        lasted = time.time() - begin
        entries = served.status(OTHER_TEAM, _NAME)["stages"]
        assert [entry["attempts"] for entry in entries] == [1] * len(entries)
    finally:
        served.world.hide_store(hidden=False)
        served.drop(_NAME, namespace=OTHER_TEAM)
    faults.cost_no_answer(
        "operator killed, store away for a minute, in each stage",
        seconds=lasted,
        lost="none: one Job each",
        seen=served.all_answers(since=begin),
    )


def _strike(served: Product, stage: StageName) -> None:
    """Kill the operator while a stage runs and no new connection reaches the store."""

    def running() -> bool:
        return served.stage(OTHER_TEAM, stage, _NAME).get("state") in {"Running", "Succeeded"}

    served.until(running, seconds=600)
    before = served.stage(OTHER_TEAM, stage, _NAME)
    assert before["state"] == "Running", "nothing was under way"
    served.world.hide_store(hidden=True)
    served.kill_operator()
    time.sleep(_AWAY_SECONDS)
    served.world.wait_for_deployment(OPERATOR, namespace=SYSTEM)
    assert served.stage(OTHER_TEAM, stage, _NAME)["job"] == before["job"]
    served.world.hide_store(hidden=False)


def _is_ready(served: Product) -> bool:
    # What the operator said of the store stands there until it looks again.
    assert served.stalled(OTHER_TEAM, _NAME).get("reason") in {None, Reason.STORE_UNAVAILABLE}
    return conditions(served.status(OTHER_TEAM, _NAME)).get("Ready") == "True"
