"""A training that no node takes, and one that needs more memory than it may have."""

import time

import pytest

from tests.cluster.faults import Faults
from tests.cluster.product import EXPERTS, Product
from tests.cluster.world import OTHER_TEAM
from tests.controlplane.api import Object

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
_LABEL = "nanodex.dev/test-room"
_ENOUGH = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "6Gi"}}


def _training(*, seed: int, **pod: object) -> Object:
    """Return a training of its own: nobody has trained with this seed before."""
    return {"training": {"seed": seed, "pod": pod}}


def _trained(served: Product, name: str) -> bool:
    return served.stage(OTHER_TEAM, "train", name).get("state") == "Succeeded"


def test_a_training_that_no_node_takes_begins_once_one_does(
    served: Product, faults: Faults
) -> None:
    node = served.world.nodes.keeper
    training = _training(seed=1, nodeSelector={_LABEL: "yes"}, resources=_ENOUGH)
    served.want("no-room", namespace=OTHER_TEAM, spec=training)
    try:
        why = served.until(lambda: served.stalled(OTHER_TEAM, "no-room"), seconds=300)
        assert why["reason"] == "Unschedulable"
        assert "node" in why["message"]
        begin = time.time()
        served.api.patch("v1/nodes", node, {"metadata": {"labels": {_LABEL: "yes"}}})

        served.until(lambda: _trained(served, "no-room"), seconds=600)

        entry = served.stage(OTHER_TEAM, "train", "no-room")
        assert entry["attempts"] == 1
        faults.add("no node for the training", seconds=time.time() - begin, lost="none")
    finally:
        served.api.patch("v1/nodes", node, {"metadata": {"labels": {_LABEL: None}}})
        served.drop("no-room", namespace=OTHER_TEAM)


def test_a_training_that_ran_out_of_memory_says_so_and_runs_again_with_more(
    served: Product, faults: Faults
) -> None:
    little = {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "600Mi"}}
    served.want("too-small", namespace=OTHER_TEAM, spec=_training(seed=2, resources=little))
    try:
        why = served.until(lambda: served.stalled(OTHER_TEAM, "too-small"), seconds=600)
        assert why["reason"] == "OOMKilled"
        assert "Raise the memory limit" in why["message"]
        assert "retryNonce" in why["message"]
        begin = time.time()

        served.want("too-small", namespace=OTHER_TEAM, spec=_training(seed=2, resources=_ENOUGH))
        nonce = {"spec": {"retryNonce": "more memory"}}
        served.api.patch(EXPERTS, "too-small", nonce, namespace=OTHER_TEAM)

        served.until(lambda: _trained(served, "too-small"), seconds=600)
        faults.add("trainer out of memory", seconds=time.time() - begin, lost="the attempt")
    finally:
        served.drop("too-small", namespace=OTHER_TEAM)
