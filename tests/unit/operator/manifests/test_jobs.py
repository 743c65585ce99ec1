"""What each Job looks like, what it may do, and that it computes what the operator expects."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.manifests.jobs import build_job, build_rendezvous
from nanodex_operator.manifests.resources import resources_of
from nanodex_operator.manifests.travelling import travelling
from nanodex_operator.settings import Settings

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned, identify
from nanodex.api.stages import StageName, Task
from nanodex.config import parse_config

KEY = "5e1f" * 16
PINNED = Pinned(
    commit="c" * 40,
    base_model_revision="b" * 40,
    images=Images(
        nanodex="registry.example/nanodex@sha256:" + "1" * 64,
        trainer="registry.example/trainer@sha256:" + "2" * 64,
    ),
)
SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://nanodex/prod",
    nanodex_image="registry.example/nanodex:1",
    trainer_image="registry.example/trainer:1",
)
GPU: dict[str, Any] = {
    "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}},
    "nodeSelector": {"gpu": "h200"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "batch",
    "runtimeClassName": "nvidia",
    "serviceAccountName": "trainer",
}


def make_expert(**spec: Any) -> CodeExpert:
    """A CodeExpert with every kind of credential."""
    return CodeExpert.model_validate(
        {
            "metadata": {"name": "payments-api", "namespace": "team-a"},
            "spec": {
                "source": {
                    "git": {
                        "url": "https://git.example.com/acme/payments.git",
                        "subPath": "services/payments",
                        "secretRef": {"name": "payments-git"},
                    }
                },
                "baseModel": {
                    "uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct",
                    "secretRef": {"name": "hf"},
                },
                **spec,
            },
        }
    )


def job(task: Task, *, settings: Settings = SETTINGS, **spec: Any) -> dict[str, Any]:
    return build_job(
        expert=make_expert(**spec),
        uid="0b5e7a55-7d8c-4d3e-9f0e-2d1c7d5d6a11",
        task=task,
        key=KEY,
        name=f"ce-payments-api-{task}-{KEY[:10]}",
        retry_nonce="again",
        pinned=None if task is Task.RESOLVE else PINNED,
        settings=settings,
    )


def as_yaml(*objects: Any) -> str:
    # Without the detour over JSON a part that two objects share would be an alias.
    return yaml.safe_dump_all(json.loads(json.dumps(objects)), sort_keys=False, width=1000)


def pod(task: Task, **arguments: Any) -> dict[str, Any]:
    return job(task, **arguments)["spec"]["template"]["spec"]


def container(task: Task, **arguments: Any) -> dict[str, Any]:
    (only,) = pod(task, **arguments)["containers"]
    return only


def environment(task: Task, **arguments: Any) -> dict[str, Any]:
    return {
        variable["name"]: variable.get("value", variable.get("valueFrom"))
        for variable in container(task, **arguments)["env"]
    }


@pytest.mark.parametrize("task", list(Task))
def test_each_task_has_its_job(task: Task, golden) -> None:
    golden(Path(f"{task}.yaml"), as_yaml(job(task)))


def test_the_job_of_a_training_run_on_four_nodes_with_gpus(golden) -> None:
    settings = SETTINGS.model_copy(
        update={
            "store_endpoint": "https://s3.example:9000",
            "store_ca_config_map": "nanodex-store-ca",
            "image_pull_secrets": ("registry",),
        }
    )
    training = {"nodes": 4, "microBatchSize": 4, "queueName": "gpus", "backoffLimit": 6, "pod": GPU}
    made = job(Task.TRAIN, settings=settings, training=training)
    service = build_rendezvous(expert=make_expert(training=training), uid="0b5e7a55")
    golden(Path("train-on-four-nodes.yaml"), as_yaml(service, made))


@pytest.mark.parametrize("task", list(Task))
def test_a_job_fits_pod_security_restricted(task: Task) -> None:
    spec, only = pod(task), container(task)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert spec["automountServiceAccountToken"] is False
    kinds = {next(kind for kind in volume if kind != "name") for volume in spec["volumes"]}
    assert kinds <= {"emptyDir", "secret", "downwardAPI", "configMap"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


def test_what_computes_on_a_cpu_leaves_its_cores_to_others_while_it_waits() -> None:
    spinning = {task for task in Task if "GOMP_SPINCOUNT" not in environment(task)}
    assert set(Task) - spinning == {Task.TRAIN, Task.EVALUATE}
    for task in Task:
        assert "GOMP_SPINCOUNT" not in environment(task, training={"pod": GPU})


def test_a_limit_of_the_cpu_is_one_of_threads_too() -> None:
    limited = {"pod": {"resources": {"limits": {"cpu": "1500m"}}}}
    for task in (Task.TRAIN, Task.EVALUATE):
        entries = container(task, training=limited)["env"]
        [threads] = [entry for entry in entries if entry["name"] == "OMP_NUM_THREADS"]
        assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
        assert "OMP_NUM_THREADS" not in environment(task)


def test_each_task_gets_those_secrets_alone_that_it_uses() -> None:
    used = {}
    for task in Task:
        secrets = {
            volume["secret"]["secretName"] for volume in pod(task)["volumes"] if "secret" in volume
        }
        secrets |= {source["secretRef"]["name"] for source in container(task).get("envFrom", [])}
        if "HF_TOKEN" in environment(task):
            secrets.add("hf")
        used[task.value] = secrets
    assert used == {
        "resolve": {"payments-git", "hf"},
        "extract": {"payments-git", "nanodex-s3"},
        "brain": {"nanodex-s3", "hf"},
        "dataset": {"nanodex-s3"},
        "train": {"nanodex-s3", "hf"},
        "evaluate": {"nanodex-s3", "hf"},
    }


def test_an_eviction_and_a_saved_checkpoint_cost_no_attempt_and_wrong_input_ends_the_job() -> None:
    rules = job(Task.TRAIN)["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"]["values"] == [75]
    assert rules[2]["onExitCodes"]["values"] == list(range(10, 30))
    assert {rule["onExitCodes"]["containerName"] for rule in rules[1:]} == {
        container(Task.TRAIN)["name"]
    }


def test_only_training_has_the_users_backoff_limit_queue_and_nodes() -> None:
    training = {"backoffLimit": 7, "queueName": "gpus", "nodes": 2}
    specs = {task: job(task, training=training)["spec"] for task in Task}
    train = specs.pop(Task.TRAIN)
    assert (train["backoffLimit"], train["suspend"], train["completions"]) == (7, True, 2)
    assert {(spec["backoffLimit"], spec["suspend"]) for spec in specs.values()} == {(3, False)}
    assert {spec["completionMode"] for spec in specs.values()} == {"NonIndexed"}


def test_training_may_take_the_time_to_save_a_checkpoint() -> None:
    seconds = {task.value: pod(task)["terminationGracePeriodSeconds"] for task in Task}
    assert seconds.pop("train") == 120
    assert set(seconds.values()) == {30}


def test_training_and_evaluation_run_where_the_user_says() -> None:
    for task in (Task.TRAIN, Task.EVALUATE):
        spec = pod(task, training={"pod": GPU})
        assert spec["nodeSelector"] == {"gpu": "h200"}
        assert spec["runtimeClassName"] == "nvidia"
        assert not spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert pod(Task.TRAIN, training={"pod": GPU})["serviceAccountName"] == "trainer"
    elsewhere = pod(Task.EXTRACT, training={"pod": GPU})
    assert not {"nodeSelector", "tolerations", "serviceAccountName"} & set(elsewhere)
    assert elsewhere["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.parametrize(
    ("wanted", "requests", "limits"),
    [
        ({}, {"cpu": "2", "memory": "8Gi"}, {"memory": "8Gi"}),
        # A limit of 8Gi below a request of 32Gi would be refused.
        ({"requests": {"memory": "32Gi"}}, {"cpu": "2", "memory": "32Gi"}, {}),
        ({"limits": {"memory": "1Gi", "cpu": "1"}}, {}, {"memory": "1Gi", "cpu": "1"}),
        (
            {"limits": {"nvidia.com/gpu": 1}},
            {"cpu": "2", "memory": "8Gi"},
            {"memory": "8Gi", "nvidia.com/gpu": 1},
        ),
    ],
)
def test_what_the_user_asks_for_takes_the_place_of_the_default(
    wanted: dict[str, Any], requests: dict[str, Any], limits: dict[str, Any]
) -> None:
    merged = resources_of(Task.TRAIN, wanted=wanted)
    assert merged.get("requests", {}) == requests
    assert merged.get("limits", {}) == limits


def test_a_variable_in_an_argument_stays_text() -> None:
    pinned = Pinned(commit="c" * 40, base_model_revision="$(AWS_SECRET_ACCESS_KEY)")
    made = build_job(
        expert=make_expert(),
        uid="u",
        task=Task.BRAIN,
        key=KEY,
        name="n",
        retry_nonce="",
        pinned=pinned,
        settings=SETTINGS,
    )
    (only,) = made["spec"]["template"]["spec"]["containers"]
    assert "--base-model-revision=$$(AWS_SECRET_ACCESS_KEY)" in only["args"]


def test_a_stage_needs_to_know_what_the_references_mean() -> None:
    with pytest.raises(ValueError, match="extract needs to know"):
        build_job(
            expert=make_expert(),
            uid="u",
            task=Task.EXTRACT,
            key=KEY,
            name="n",
            retry_nonce="",
            pinned=None,
            settings=SETTINGS,
        )


def test_the_name_of_every_pod_of_a_run_is_a_dns_label() -> None:
    name, highest_index = "x" * 40, 63
    for task in (Task.TRAIN, Task.EVALUATE):
        suffix = f"-{highest_index}" if task is Task.TRAIN else ""
        assert len(f"ce-{name}-{task}-{KEY[:10]}{suffix}") <= 63


# Whatever a user may write into a pattern: letters, marks that YAML folds or refuses, pictures.
anything = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f."),
    min_size=1,
    max_size=20,
)


@given(
    include=st.lists(anything, max_size=3),
    epochs=st.integers(1, 9),
    workers=st.integers(0, 4),
    nodes=st.integers(1, 2),
)
def test_a_stage_reads_what_the_operator_read(
    include: list[str], epochs: int, workers: int, nodes: int
) -> None:
    expert = make_expert(
        extract={"languages": ["java"], "workers": workers},
        source={"git": {"url": "https://x.example/a.git", "include": include}},
        training={"epochs": epochs, "nodes": nodes, "pod": GPU},
        evaluation={"minScore": "0.7"},
    )
    text = travelling(expert, workers=2)
    read = parse_config(text.encode(), CodeExpert, origin="expert.json")
    assert read.model_name == expert.model_name
    assert read.spec.extract.workers == (workers or 2)
    assert read.spec.source == expert.spec.source
    upstream = dict.fromkeys(StageName, "sha256:" + "0" * 64)
    for stage in StageName:
        assert identify(read, stage, pinned=PINNED, upstream=upstream) == identify(
            expert, stage, pinned=PINNED, upstream=upstream
        )


def test_an_older_image_is_not_told_of_fields_that_nobody_set() -> None:
    assert "warmupPercent" not in travelling(make_expert(), workers=2)
    assert "queueName" not in travelling(make_expert(training={"queueName": "gpus"}), workers=2)
