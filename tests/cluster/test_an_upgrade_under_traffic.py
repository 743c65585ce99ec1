"""The chart is upgraded while somebody asks: nothing is trained again, no engine starts again."""

import time
from pathlib import Path

import pytest

from hack.kind.demo.objects import SYSTEM, TEAM
from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, Product
from tests.controlplane.api import DEFINITIONS
from tests.helm import older_chart

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
_DEFINITION = "codeexperts.nanodex.dev"
_OPERATOR = "app.kubernetes.io/component=operator"


def test_a_newer_operator_and_crd_cost_nobody_an_answer(
    served: Product, tmp_path: Path, faults: Faults
) -> None:
    newest = _columns(served)
    served.install(chart=older_chart(tmp_path / "older"))
    assert _columns(served) == newest[1:]
    served.until(lambda: served.is_ready(TEAM), seconds=120)
    expert = served.api.get(EXPERTS, "parcelry", namespace=TEAM)
    engine = served.engine_pod()["metadata"]["uid"]
    operators = _operators(served)
    begin = time.time()
    served.until(lambda: served.traffic(since=begin), seconds=120)
    upgraded = time.time()

    served.install()

    served.until(lambda: not _operators(served) & operators, seconds=120)
    served.until(lambda: served.is_ready(TEAM), seconds=120)
    seconds = time.time() - upgraded
    assert _columns(served) == newest
    after = served.api.get(EXPERTS, "parcelry", namespace=TEAM)
    assert after["metadata"]["uid"] == expert["metadata"]["uid"]
    # It may look for a new commit, and trains nothing.
    jobs = {entry["name"]: entry["job"] for entry in expert["status"]["stages"]}
    still = {entry["name"]: entry["job"] for entry in after["status"]["stages"]}
    assert {**still, "resolve": ""} == {**jobs, "resolve": ""}
    assert served.engine_pod()["metadata"]["uid"] == engine
    time.sleep(10)
    seen = served.all_answers(since=begin)
    faults.cost_no_answer("chart, CRD, operator upgraded", seconds=seconds, seen=seen)


def _columns(served: Product) -> list[str]:
    [version] = served.api.get(DEFINITIONS, _DEFINITION)["spec"]["versions"]
    return [column["name"] for column in version["additionalPrinterColumns"]]


def _operators(served: Product) -> set[str]:
    found = served.api.find_all("v1/pods", namespace=SYSTEM, labels=_OPERATOR)
    return {one["metadata"]["uid"] for one in found}
