"""The Jobs that the operator builds, judged by a real API server: as Jobs, and their Pods.

A Job whose Pods PodSecurity refuses is taken all the same, so the Pods are asked about as well.
"""

import copy
from typing import Any

import pytest
from nanodex_operator.manifests.jobs import build_job, build_rendezvous
from nanodex_operator.settings import Settings

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned
from nanodex.api.stages import Task
from tests.controlplane.api import Api
from tests.resources import EXPERT, changed

pytestmark = pytest.mark.controlplane

PINNED = Pinned(
    commit="c" * 40, base_model_revision="b" * 40, images=Images(nanodex="n:1", trainer="t:1")
)
SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://nanodex",
    store_endpoint="https://s3.example",
    store_ca_config_map="ca",
    nanodex_image="n:1",
    trainer_image="t:1",
    image_pull_secrets=("registry",),
)
SECRETS = {
    "spec.source.git.secretRef": {"name": "git"},
    "spec.baseModel.secretRef": {"name": "hf"},
}
PLACED = {
    "spec.training.pod": {
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"memory": "32Gi"}},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "nodeSelector": {"gpu": "yes"},
    }
}
SEVERAL = {"spec.training.nodes": 2, "spec.training.queueName": "gpus"}


def expert(namespace: str, changes: dict[str, Any]) -> CodeExpert:
    return CodeExpert.model_validate(
        changed(EXPERT, changes | {"metadata.namespace": namespace, "metadata.name": "x" * 40})
    )


def build(task: Task, namespace: str, changes: dict[str, Any]) -> dict[str, Any]:
    return build_job(
        expert=expert(namespace, changes),
        uid="0b5e7a55-7d8c-4d3e-9f0e-2d1c7d5d6a11",
        task=task,
        key="5e1f" * 16,
        name=f"ce-{'x' * 40}-{task}-5e1f5e1f5e",
        retry_nonce="1",
        pinned=None if task is Task.RESOLVE else PINNED,
        settings=SETTINGS,
    )


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("changes", [{}, SECRETS, PLACED], ids=["plain", "secrets", "placed"])
def test_a_job_and_its_pod_are_accepted_in_a_restricted_namespace(
    api: Api, namespace: str, task: Task, changes: dict[str, Any]
) -> None:
    made = build(task, namespace, changes)
    kept = api.judge("batch/v1/jobs", made, namespace=namespace)
    # Nothing was left to the API server's defaults that it would change later.
    assert kept["spec"]["podFailurePolicy"]["rules"] == made["spec"]["podFailurePolicy"]["rules"]
    template = copy.deepcopy(kept["spec"]["template"])
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "p"},
        "spec": template["spec"],
    }
    api.judge("v1/pods", pod, namespace=namespace)


def test_training_on_several_nodes_is_accepted(api: Api, namespace: str) -> None:
    service = build_rendezvous(expert=expert(namespace, SEVERAL), uid="u")
    assert service is not None
    api.judge("v1/services", service, namespace=namespace)
    made = api.judge("batch/v1/jobs", build(Task.TRAIN, namespace, SEVERAL), namespace=namespace)
    assert made["spec"]["completionMode"] == "Indexed"
    assert made["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
