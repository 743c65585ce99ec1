"""The stand-in for kubelet and scheduler, as the real controllers see it."""

import threading
from collections.abc import Iterator

import pytest

from tests.controlplane.api import Api, Object, eventually
from tests.controlplane.jobs import build_job, build_pod_spec, condition
from tests.controlplane.node import Node
from tests.controlplane.outcome import Outcome
from tests.controlplane.plane import ControlPlane

pytestmark = pytest.mark.controlplane

IGNORE_DISRUPTIONS = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
FAIL_ON_TERMINAL_CODES = {
    "action": "FailJob",
    "onExitCodes": {"operator": "In", "values": [10, 20]},
}


@pytest.fixture
def node(control_plane: ControlPlane, namespace: str) -> Iterator[Node]:
    with Node(control_plane.kubeconfig, namespaces=[namespace]) as node:
        yield node


def finished(api: Api, namespace: str, name: str) -> Object | None:
    job = api.get("batch/v1/jobs", name, namespace=namespace)
    return job if condition(job, "Complete") or condition(job, "Failed") else None


def run(api: Api, namespace: str, job: Object) -> Object:
    """Create a Job and return it when it is over; a Pod is replaced no sooner than after 10 s."""
    api.create("batch/v1/jobs", job, namespace=namespace)
    return eventually(lambda: finished(api, namespace, job["metadata"]["name"]), seconds=60)


def pods(api: Api, namespace: str) -> list[Object]:
    return api.find_all("v1/pods", namespace=namespace)


def terminated(pod: Object) -> Object:
    [container] = pod["status"]["containerStatuses"]
    state: Object = container["state"]["terminated"]
    return state


def test_a_job_completes_after_its_work(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    worked: list[str] = []

    def work(pod: Object) -> str:
        worked.append(pod["metadata"]["name"])
        assert pod["status"]["phase"] == "Running"
        return '{"digest": "sha256:1"}'

    with Node(control_plane.kubeconfig, namespaces=[namespace], work=work) as node:
        job = run(api, namespace, build_job("extract"))
    assert condition(job, "Complete")
    [pod] = pods(api, namespace)
    assert worked == [pod["metadata"]["name"]]
    assert [each["metadata"]["uid"] for each in node.started] == [pod["metadata"]["uid"]]
    assert terminated(pod)["message"] == '{"digest": "sha256:1"}'
    assert terminated(pod)["reason"] == "Completed"


def test_work_that_raises_fails_the_pod_and_the_test(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    def work(pod: Object) -> str:
        raise OSError("no such bucket")

    with (
        pytest.raises(AssertionError, match="OSError: no such bucket"),
        Node(control_plane.kubeconfig, namespaces=[namespace], work=work),
    ):
        job = run(api, namespace, build_job("extract"))
        assert condition(job, "Failed")


def test_a_terminal_exit_code_fails_the_job_at_once(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(exit_code=10, message='{"reason": "RefNotFound"}'), stage="train")
    job = run(api, namespace, build_job("train", backoff_limit=3, rules=[FAIL_ON_TERMINAL_CODES]))
    failed = condition(job, "Failed")
    assert failed is not None
    assert failed["reason"] == "PodFailurePolicy"
    assert "exit code 10" in failed["message"]
    [pod] = pods(api, namespace)
    assert terminated(pod)["message"] == '{"reason": "RefNotFound"}'


def test_a_disruption_does_not_count(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(reason="Evicted"), stage="train", times=1)
    job = run(api, namespace, build_job("train", backoff_limit=0, rules=[IGNORE_DISRUPTIONS]))
    assert condition(job, "Complete")
    assert job["status"].get("failed", 0) == 0
    assert len(node.started) == 2


def test_a_failure_counts_against_the_backoff_limit(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(reason="OOMKilled"), stage="train")
    job = run(api, namespace, build_job("train", backoff_limit=0, rules=[IGNORE_DISRUPTIONS]))
    failed = condition(job, "Failed")
    assert failed is not None
    assert failed["reason"] == "BackoffLimitExceeded"
    [pod] = pods(api, namespace)
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (137, "OOMKilled")


def test_the_latest_word_on_a_pod_counts(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(exit_code=30), stage="train")
    node.script(Outcome(exit_code=31), stage="train", times=1)
    node.script(Outcome(exit_code=32), stage="extract")
    for name in ("first", "second"):
        run(api, namespace, build_job(name))
    run(api, namespace, build_job("third", stage="brain"))
    codes = {
        pod["metadata"]["labels"]["job-name"]: terminated(pod)["exitCode"]
        for pod in pods(api, namespace)
    }
    assert codes == {"first": 31, "second": 30, "third": 0}


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "Unschedulable"])
def test_a_stuck_pod_goes_on_when_it_can(reason: str, node: Node, api: Api, namespace: str) -> None:
    repaired = threading.Event()
    node.script(Outcome(reason=reason, message="why it is stuck", until=repaired))
    api.create("batch/v1/jobs", build_job("train"), namespace=namespace)
    pod = eventually(lambda: [each for each in pods(api, namespace) if stuck(each)])[0]
    assert pod["status"]["phase"] == "Pending"
    assert stuck(pod) == (reason, "why it is stuck")
    repaired.set()
    job = eventually(lambda: finished(api, namespace, "train"), seconds=60)
    assert condition(job, "Complete")


def stuck(pod: Object) -> tuple[str, str] | None:
    for each in pod["status"].get("conditions", []):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return each["reason"], each["message"]
    for each in pod["status"].get("containerStatuses", []):
        if "waiting" in each["state"]:
            return each["state"]["waiting"]["reason"], each["state"]["waiting"]["message"]
    return None


def test_a_deleted_pod_is_stopped_and_removed(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(until=threading.Event(), exit_code_when_stopped=75), times=1)
    api.create("batch/v1/jobs", build_job("train", backoff_limit=1), namespace=namespace)
    eventually(lambda: node.started)
    name = node.started[0]["metadata"]["name"]
    api.delete("v1/pods", name, namespace=namespace)
    eventually(lambda: api.find("v1/pods", name, namespace=namespace) is None)
    job = eventually(lambda: finished(api, namespace, "train"), seconds=60)
    assert condition(job, "Complete")
    assert job["status"]["failed"] == 1


def test_a_drained_pod_is_a_disruption(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(until=threading.Event(), exit_code_when_stopped=75), times=1)
    api.create("batch/v1/jobs", build_job("train", rules=[IGNORE_DISRUPTIONS]), namespace=namespace)
    eventually(lambda: node.started)
    name = node.started[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    api.post("v1/pods", name, "eviction", eviction, namespace=namespace)
    job = eventually(lambda: finished(api, namespace, "train"), seconds=60)
    assert condition(job, "Complete")
    assert job["status"].get("failed", 0) == 0


def test_a_suspended_job_gives_its_pod_back(node: Node, api: Api, namespace: str) -> None:
    node.script(Outcome(until=threading.Event(), exit_code_when_stopped=75), times=1)
    api.create("batch/v1/jobs", build_job("train"), namespace=namespace)
    eventually(lambda: node.started)
    api.patch("batch/v1/jobs", "train", {"spec": {"suspend": True}}, namespace=namespace)
    eventually(lambda: not pods(api, namespace))
    api.patch("batch/v1/jobs", "train", {"spec": {"suspend": False}}, namespace=namespace)
    job = eventually(lambda: finished(api, namespace, "train"), seconds=60)
    assert condition(job, "Complete")


def test_pods_of_a_deployment_stay(node: Node, api: Api, namespace: str) -> None:
    labels = {"app": "engine"}
    node.script(Outcome(address="127.0.0.7"), labels=labels)
    template = {"metadata": {"labels": labels}, "spec": build_pod_spec()}
    template["spec"]["restartPolicy"] = "Always"
    deployment = {
        "metadata": {"name": "engine"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    api.create("apps/v1/deployments", deployment, namespace=namespace)
    ready = eventually(
        lambda: [
            each
            for each in api.find_all("apps/v1/deployments", namespace=namespace)
            if each["status"].get("readyReplicas") == 2
        ]
    )
    assert condition(ready[0], "Available")
    assert {pod["status"]["podIP"] for pod in pods(api, namespace)} == {"127.0.0.7"}


def test_the_node_outlives_the_api_server(
    control_plane: ControlPlane, node: Node, api: Api, namespace: str
) -> None:
    go_on = threading.Event()
    node.script(Outcome(until=go_on))
    api.create("batch/v1/jobs", build_job("train"), namespace=namespace)
    eventually(lambda: node.started)
    control_plane.stop_apiserver()
    go_on.set()
    control_plane.start_apiserver()
    job = eventually(lambda: finished(api, namespace, "train"), seconds=60)
    assert condition(job, "Complete")
