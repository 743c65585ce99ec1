"""The chart is upgraded while somebody asks: nothing is trained again, no engine starts again."""

import time

import pytest

from hack.kind.demo.objects import SYSTEM, TEAM
from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, Product
from tests.controlplane.api import DEFINITIONS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
_DEFINITION = "codeexperts.nanodex.dev"
_OPERATOR = "app.kubernetes.io/component=operator"


def test_other_values_and_a_newer_crd_cost_nobody_an_answer(
    served: Product, faults: Faults
) -> None:
    begin = time.time()
    served.until(lambda: served.traffic(since=begin), seconds=120)
    expert = served.api.get(EXPERTS, "parcelry", namespace=TEAM)
    engine = served.engine_pod()["metadata"]["uid"]
    [operator] = served.api.find_all("v1/pods", namespace=SYSTEM, labels=_OPERATOR)
    # As an older release had it: a column less.
    [newest] = served.api.get(DEFINITIONS, _DEFINITION)["spec"]["versions"]
    columns = newest["additionalPrinterColumns"]
    older = {"spec": {"versions": [{**newest, "additionalPrinterColumns": columns[1:]}]}}
    served.api.patch(DEFINITIONS, _DEFINITION, older)
    upgraded = time.time()

    served.install(**{"operator.resyncSeconds": "500"})

    def replaced() -> bool:
        found = served.api.find_all("v1/pods", namespace=SYSTEM, labels=_OPERATOR)
        return [one["metadata"]["uid"] for one in found] != [operator["metadata"]["uid"]] and (
            len(found) == 1
        )

    served.until(replaced, seconds=120)
    served.until(lambda: served.is_ready(TEAM), seconds=120)
    seconds = time.time() - upgraded
    now = served.api.get(DEFINITIONS, _DEFINITION)["spec"]["versions"][0]
    assert now["additionalPrinterColumns"] == columns
    after = served.api.get(EXPERTS, "parcelry", namespace=TEAM)
    assert after["metadata"]["uid"] == expert["metadata"]["uid"]
    jobs = {entry["name"]: entry["job"] for entry in expert["status"]["stages"]}
    still = {entry["name"]: entry["job"] for entry in after["status"]["stages"]}
    assert {**still, "resolve": ""} == {**jobs, "resolve": ""}
    assert served.engine_pod()["metadata"]["uid"] == engine
    time.sleep(10)
    seen = served.traffic(since=begin)
    faults.add("chart and CRD upgraded", seconds=seconds, lost="none", seen=seen)
    assert not served.failures(since=begin)
