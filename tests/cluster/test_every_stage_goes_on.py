"""Operator killed, or store away, while each stage runs: each is done once and none is lost."""

import time
from collections.abc import Callable

import pytest

from nanodex.api.stages import StageName
from tests.cluster.faults import Faults
from tests.cluster.product import Product, conditions
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]
_AWAY_SECONDS = 60


def _through_all_stages(
    served: Product, name: str, *, seed: int, without: str, fault: Callable[[StageName], None]
) -> None:
    """Let something happen once while each stage runs; what others learned cannot be reused."""
    served.want(
        name,
        namespace=OTHER_TEAM,
        git={"exclude": [without]},
        spec={"training": {"epochs": 1, "seed": seed}},
    )
    for stage in StageName:

        def running(stage: StageName = stage) -> bool:
            return served.stage(OTHER_TEAM, stage, name).get("state") in {"Running", "Succeeded"}

        served.until(running, seconds=600)
        assert served.stage(OTHER_TEAM, stage, name)["state"] == "Running", "nothing was under way"
        fault(stage)

    def ready() -> bool:
        assert not served.stalled(OTHER_TEAM, name)
        return conditions(served.status(OTHER_TEAM, name)).get("Ready") == "True"

    served.until(ready, seconds=900)


def test_the_operator_is_killed_in_each(served: Product, faults: Faults) -> None:
    begin = time.time()
    try:
        _through_all_stages(
            served,
            "restarts",
            seed=4,
            without="src/parcelry/webhooks.py",
            fault=lambda stage: served.kill_operator(),
        )
        entries = served.status(OTHER_TEAM, "restarts")["stages"]
        assert [entry["attempts"] for entry in entries] == [1] * len(entries)
    finally:
        served.drop("restarts", namespace=OTHER_TEAM)
    faults.cost_no_answer(
        "operator killed in each stage",
        seconds=time.time() - begin,
        lost="none: one Job each",
        seen=served.all_answers(since=begin),
    )


def test_the_store_is_away_in_each(served: Product, faults: Faults) -> None:
    begin = time.time()

    def away(stage: StageName) -> None:
        served.world.hide_store(hidden=True)
        time.sleep(_AWAY_SECONDS)
        served.world.hide_store(hidden=False)

    try:
        _through_all_stages(
            served, "store-away", seed=5, without="src/parcelry/tracking.py", fault=away
        )
        lasted = time.time() - begin
        entries = served.status(OTHER_TEAM, "store-away")["stages"]
        again = sum(int(entry["attempts"]) - 1 for entry in entries)
    finally:
        served.world.hide_store(hidden=False)
        served.drop("store-away", namespace=OTHER_TEAM)
    faults.cost_no_answer(
        "store away for a minute in each stage",
        seconds=lasted,
        lost=f"{again} attempts",
        seen=served.all_answers(since=begin),
    )
