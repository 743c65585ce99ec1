"""The demo's resources are what the product takes, and fit on the smallest node it is meant for."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from nanodex_operator.manifests.engine_pod import build_deployment
from nanodex_operator.manifests.resources import resources_of
from nanodex_operator.settings import Settings

from hack.kind.demo.__main__ import Failed, finished
from hack.kind.demo.objects import (
    CLIENTS,
    SYSTEM,
    TEAM,
    VALUES,
    code_expert,
    keys_of_clients,
    model_server,
)
from hack.kind.world.manifests import git_server, s3_store
from nanodex.api.code_expert import CodeExpert
from nanodex.api.model_server import ModelServer
from nanodex.api.stages import Task

EXPERT = CodeExpert.model_validate(code_expert())
SERVER = ModelServer.model_validate(model_server())
SETTINGS = Settings(
    namespace=SYSTEM, store="s3://nanodex/demo", nanodex_image="a", trainer_image="b"
)
# What kubeadm's control plane and CoreDNS ask for, in thousandths of a core.
CONTROL_PLANE = 850
OPERATOR = 50
NODE = 2000


def test_the_server_takes_what_the_expert_trains() -> None:
    assert EXPERT.metadata.namespace == TEAM
    assert EXPERT.spec.base_model.uri == SERVER.spec.base_model.uri
    assert EXPERT.spec.training.lora.r <= SERVER.spec.adapters.max_rank


def test_who_asks_has_a_key_for_the_team_alone() -> None:
    server_side, client_side = keys_of_clients("a-key-of-many-characters")
    assert server_side["metadata"]["namespace"] == SYSTEM
    assert server_side["stringData"] == {"demo": f"a-key-of-many-characters {TEAM}/* base"}
    assert client_side["metadata"]["namespace"] == CLIENTS


def test_the_engine_is_the_one_that_make_images_builds() -> None:
    engine = yaml.safe_load(VALUES.read_text(encoding="utf-8"))["images"]["engine"]
    assert engine == {"registry": "localhost", "repository": "nanodex-vllm-cpu", "tag": ""}


def test_engine_operator_and_each_stage_find_room_on_two_cores() -> None:
    world = (
        *s3_store(namespace="world", image="s3", keys=()),
        *git_server(namespace="world", image="git", tls={}, auth={}, bundles={}),
    )
    deployments = [one for one in world if one["kind"] == "Deployment"]
    deployments.append(build_deployment(server=SERVER, uid="u", settings=SETTINGS))
    always = CONTROL_PLANE + OPERATOR + sum(_of_pod(one) for one in deployments)
    wanted = EXPERT.spec.training.pod.resources
    for task in Task:
        placed = wanted if task in (Task.TRAIN, Task.EVALUATE) else {}
        asked = _thousandths(resources_of(task, wanted=placed)["requests"]["cpu"])
        assert always + asked <= NODE, task


@pytest.mark.parametrize(("ended", "outcome"), [("Complete", "said"), ("Failed", "raised")])
def test_a_job_that_failed_is_not_waited_for(ended: str, outcome: str) -> None:
    class OneJob:
        def kubectl(self, *arguments: str) -> str:
            if "logs" in arguments:
                return "the server is away\n"
            status = {"conditions": [{"type": ended, "status": "True"}]}
            return json.dumps({"status": status})

    cluster: Any = OneJob()
    if outcome == "said":
        assert finished(cluster, "ask-0", namespace=CLIENTS) == "the server is away\n"
    else:
        with pytest.raises(Failed, match="Job ask-0 failed: the server is away"):
            finished(cluster, "ask-0", namespace=CLIENTS)


def _of_pod(deployment: dict[str, Any]) -> int:
    """What a Pod asks for: what runs together, or what runs before it if that is more."""
    pod = deployment["spec"]["template"]["spec"]
    first = pod.get("initContainers", ())
    stays = [one for one in first if one.get("restartPolicy") == "Always"]
    passes = [one for one in first if one not in stays]
    return max(_sum((*stays, *pod["containers"])), *(_sum([one]) for one in passes), 0)


def _sum(containers: Iterable[dict[str, Any]]) -> int:
    return sum(_thousandths(one["resources"]["requests"]["cpu"]) for one in containers)


def _thousandths(cpu: str) -> int:
    return int(cpu.removesuffix("m")) if cpu.endswith("m") else 1000 * int(cpu)
