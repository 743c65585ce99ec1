"""docs/operate.md: resources that are applied again find their artifacts; nothing is trained."""

import time

import pytest

from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, Product
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


def test_an_expert_that_was_deleted_answers_again_without_a_training(
    served: Product, faults: Faults
) -> None:
    before = served.api.get(EXPERTS, "parcelry", namespace=OTHER_TEAM)
    backup = {
        "apiVersion": before["apiVersion"],
        "kind": before["kind"],
        "metadata": {"name": "parcelry", "namespace": OTHER_TEAM},
        "spec": before["spec"],
    }
    served.drop("parcelry", namespace=OTHER_TEAM)
    begin = time.time()
    served.api.apply(EXPERTS, backup, namespace=OTHER_TEAM)
    served.until(lambda: served.is_ready(OTHER_TEAM), seconds=600)
    after = served.status(OTHER_TEAM)
    assert after["active"]["digest"] == before["status"]["active"]["digest"]
    states = {one["name"]: one["state"] for one in after["stages"] if one["name"] != "resolve"}
    assert set(states.values()) == {"Cached"}, states
    faults.add("expert deleted, then applied again", seconds=time.time() - begin, lost="none")
