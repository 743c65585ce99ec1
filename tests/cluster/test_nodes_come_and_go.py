"""A node that is emptied, and one that goes without a word: trainings go on, and answers come."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hack.kind.cluster import Cluster
from hack.kind.demo.objects import SYSTEM, TEAM
from tests.cluster.faults import Faults
from tests.cluster.product import SERVER, SERVERS, Product
from tests.cluster.world import OTHER_TEAM
from tests.controlplane.api import Object

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]
# Long enough for a node to go meanwhile, with a checkpoint every few steps.
_LONG = {"epochs": 8, "checkpointSteps": 2}


@pytest.fixture
def leaving(served: Product) -> Iterator[str]:
    """The node that goes; at the end, both nodes take Pods again."""
    nodes = served.world.nodes
    if not nodes.others:
        pytest.skip("the cluster has one node: `make kind-up NODES=2` makes two")
    [node, *_] = nodes.others
    try:
        yield node
    finally:
        for one in (node, nodes.keeper):
            nodes.close(one, closed=False)


def _node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


@contextmanager
def _training_on(served: Product, node: str, name: str, *, seed: int) -> Iterator[str]:
    """Let an expert be trained on a node; gives the name of its Job once there is a checkpoint."""
    nodes = served.world.nodes
    nodes.close(nodes.keeper, closed=True)
    served.want(name, namespace=OTHER_TEAM, spec={"training": {**_LONG, "seed": seed}})

    def job() -> str:
        return str(served.stage(OTHER_TEAM, "train", name).get("job", ""))

    def saved() -> bool:
        # Progress is told before what can be taken up again is safe.
        arguments = ("logs", f"job/{job()}", "--tail=-1")
        said = served.kubectl.run(*arguments, namespace=OTHER_TEAM, check=False) if job() else ""
        return "is in the store" in said

    try:
        served.until(saved, seconds=1200)
        nodes.close(nodes.keeper, closed=False)
        [pod] = served.api.find_all(
            "v1/pods", namespace=OTHER_TEAM, labels=f"batch.kubernetes.io/job-name={job()}"
        )
        assert _node_of(pod) == node
        yield job()
    finally:
        served.drop(name, namespace=OTHER_TEAM)


def _finishes(served: Product, name: str, job: str) -> tuple[int, int]:
    """Wait for the end of a training; returns the step that it resumed at, and all steps."""
    served.until(
        lambda: served.stage(OTHER_TEAM, "train", name).get("state") == "Succeeded", seconds=1500
    )
    entry = served.stage(OTHER_TEAM, "train", name)
    assert entry["job"] == job
    resumed, steps = int(entry["metrics"]["resumedAt"]), int(entry["metrics"]["steps"])
    assert resumed > 0, entry
    return resumed, steps


def _scale(served: Product, replicas: int) -> None:
    served.api.patch(SERVERS, SERVER, {"spec": {"replicas": replicas}})

    def loaded() -> bool:
        # One that is ending is still there, and nobody's replica any more.
        if len(served.engine_pods()) != replicas:
            return False
        serving = served.status(TEAM).get("serving", {})
        return serving.get("loaded") == f"{replicas}/{replicas}" and served.is_ready(TEAM)

    served.until(loaded, seconds=900)


def test_an_emptied_node_costs_no_answer_and_no_step(
    served: Product, faults: Faults, leaving: str
) -> None:
    _scale(served, 2)
    assert {_node_of(pod) for pod in served.engine_pods()} == {leaving, served.world.nodes.keeper}
    try:
        with _training_on(served, leaving, "drained", seed=11) as job:
            begin = time.time()
            served.kubectl.run(
                *("drain", leaving, "--ignore-daemonsets", "--delete-emptydir-data"),
                *("--force", "--timeout=600s"),
            )
            resumed, steps = _finishes(served, "drained", job)
            faults.cost_no_answer(
                "node drained, two replicas",
                seconds=time.time() - begin,
                lost=f"0 of {steps} steps (resumed at {resumed})",
                seen=served.all_answers(since=begin),
            )
        served.world.nodes.close(leaving, closed=False)
        served.until(lambda: served.is_ready(TEAM), seconds=900)
    finally:
        served.world.nodes.close(leaving, closed=False)
        _scale(served, 1)


def test_a_node_that_stops_and_comes_back_costs_the_steps_since_the_checkpoint(
    served: Product, faults: Faults, leaving: str, kind: Cluster | None
) -> None:
    if kind is None:
        pytest.skip("nobody here can switch off a node of a cluster that is not kind's own")
    # The one replica stays: how long a client waits for one that is gone is its own test.
    _only_on(served, served.world.nodes.keeper)
    with _training_on(served, leaving, "powerless", seed=12) as job:
        begin = time.time()
        kind.stop_node(leaving)
        try:
            served.until(lambda: not served.world.nodes.is_ready(leaving), seconds=180)
            away = time.time() - begin
        finally:
            kind.start_node(leaving)
        served.until(lambda: served.world.nodes.is_ready(leaving), seconds=300)
        resumed, steps = _finishes(served, "powerless", job)
        faults.cost_no_answer(
            f"node of the training away for {away:.0f} s",
            seconds=time.time() - begin,
            lost=f"steps since the checkpoint (resumed at {resumed} of {steps})",
            seen=served.all_answers(since=begin),
        )


def _only_on(served: Product, node: str) -> None:
    """Let the one replica run on a node."""
    nodes = served.world.nodes
    [pod] = served.engine_pods()
    if _node_of(pod) == node:
        return
    for other in nodes.others:
        nodes.close(other, closed=True)
    served.api.delete("v1/pods", pod["metadata"]["name"], namespace=SYSTEM)
    served.until(lambda: [_node_of(one) for one in served.engine_pods()] == [node], seconds=300)
    served.until(lambda: served.is_ready(TEAM), seconds=900)
    for other in nodes.others:
        nodes.close(other, closed=False)
