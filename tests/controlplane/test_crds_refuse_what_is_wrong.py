"""The CRDs on a real API server: what is refused and with which words, what is filled in and kept.

Pydantic is asked about the same resources in tests/unit/api/test_resources.py, and here about
random ones: what the API server lets in, the operator must be able to read.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nanodex.api.code_expert import CodeExpert, CodeExpertSpec
from nanodex.api.crds import code_expert_crd, model_server_crd
from nanodex.api.model_server import ModelServer, ModelServerSpec
from tests import resources
from tests.controlplane.api import (
    Api,
    Object,
    Refused,
    add_definitions,
    eventually,
    remove_definitions,
)
from tests.controlplane.plane import ControlPlane
from tests.resources import EXPERT, GIT, SERVER, changed

pytestmark = pytest.mark.controlplane

EXPERTS = "nanodex.dev/v1alpha1/codeexperts"
SERVERS = "nanodex.dev/v1alpha1/modelservers"
SAMPLES = Path(__file__).parents[2] / "config" / "samples"


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[Api]:
    """An API server that knows our resources and takes them into the namespace default."""
    api = control_plane.api
    definitions = [code_expert_crd(), model_server_crd()]
    add_definitions(api, *definitions)
    eventually(lambda: api.find("v1/namespaces", "default"))
    yield api
    remove_definitions(api, *(definition["metadata"]["name"] for definition in definitions))


def judged(api: Api, changes: dict[str, Any]) -> Object:
    return api.judge(EXPERTS, changed(EXPERT, changes), namespace="default")


def judged_server(api: Api, changes: dict[str, Any]) -> Object:
    return api.judge(SERVERS, changed(SERVER, changes))


@pytest.mark.parametrize("changes", resources.GOOD_EXPERTS, ids=str)
def test_a_good_code_expert_is_taken(server: Api, changes: dict[str, Any]) -> None:
    judged(server, changes)


@pytest.mark.parametrize(
    ("changes", "said"), [*resources.BAD_EXPERTS, *resources.LOCAL_EXPERTS], ids=str
)
def test_a_bad_code_expert_is_refused_with_the_rules_own_sentence(
    server: Api, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused) as caught:
        judged(server, changes)
    assert caught.value.status == 422
    assert said in caught.value.message
    assert ": Invalid value: " in caught.value.message
    assert caught.value.message.count("no such key") == 0


@pytest.mark.parametrize(("changes", "said"), resources.MISFITTING_EXPERTS, ids=str)
def test_a_misfitting_code_expert_is_refused_with_the_path_of_the_field(
    server: Api, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused) as caught:
        judged(server, changes)
    assert caught.value.status in (400, 422)
    assert said in caught.value.message


@pytest.mark.parametrize("changes", resources.GOOD_SERVERS, ids=str)
def test_a_good_model_server_is_taken(server: Api, changes: dict[str, Any]) -> None:
    judged_server(server, changes)


@pytest.mark.parametrize(
    ("changes", "said"), [*resources.BAD_SERVERS, *resources.MISFITTING_SERVERS], ids=str
)
def test_a_bad_model_server_is_refused(server: Api, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as caught:
        judged_server(server, changes)
    assert said in caught.value.message


def test_the_samples_are_taken(server: Api) -> None:
    for name, resource in (("codeexpert", EXPERTS), ("modelserver", SERVERS)):
        sample = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
        server.judge(resource, sample, namespace="default" if resource == EXPERTS else "")


def test_what_will_happen_is_filled_in(server: Api) -> None:
    filled = judged(server, {})["spec"]
    assert filled["source"]["git"]["ref"] == {"branch": "main"}
    assert filled["training"]["lora"] == {
        "r": 16, "alpha": 32, "dropout": "0", "targetModules": "all-linear",
    }  # fmt: skip
    assert filled["artifacts"]["secretRef"] == {"name": "nanodex-s3"}
    assert CodeExpertSpec.model_validate(filled) == CodeExpert.model_validate(EXPERT).spec
    offered = judged_server(server, {})["spec"]
    assert ModelServerSpec.model_validate(offered) == ModelServer.model_validate(SERVER).spec


def test_a_null_stands_for_the_default(server: Api) -> None:
    git = {"url": "https://git.example.com/x.git", "secretRef": None, "subPath": None}
    filled = judged(server, {GIT: git})["spec"]["source"]["git"]
    assert "secretRef" not in filled
    assert filled["subPath"] == ""


def test_an_unknown_field_is_pruned_where_nobody_asks_to_be_strict(
    server: Api, namespace: str
) -> None:
    wrong = changed(EXPERT, {"spec.training.useDora": True})
    created = server.create(EXPERTS, wrong, namespace=namespace)
    assert "useDora" not in created["spec"]["training"]


def test_the_fields_of_a_pod_are_kept_as_they_are(server: Api) -> None:
    pod = {
        "resources": {"limits": {"nvidia.com/gpu": 1}, "claims": [{"name": "gpu"}]},
        "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 3}],
        "affinity": {"nodeAffinity": {"x": [{"y": 1}]}},
    }
    filled = judged(server, {"spec.training.pod": pod})["spec"]["training"]["pod"]
    assert {name: filled[name] for name in pod} == pod


def test_two_writers_share_conditions_and_stages(server: Api, namespace: str) -> None:
    server.create(EXPERTS, EXPERT, namespace=namespace)

    def write(manager: str, condition: str, stage: str) -> Object:
        now = "2026-01-01T00:00:00Z"
        status = {
            "conditions": [
                {
                    "type": condition, "status": "True", "reason": "Done",
                    "lastTransitionTime": now,
                }
            ],
            "stages": [{"name": stage, "state": "Running"}],
        }  # fmt: skip
        body = {**EXPERT, "status": status}
        del body["spec"]
        return server.apply(
            EXPERTS, body, namespace=namespace, subresource="status", manager=manager
        )

    write("one", "Trained", "train")
    status = write("two", "Ready", "evaluate")["status"]
    assert {one["type"] for one in status["conditions"]} == {"Trained", "Ready"}
    assert {one["name"] for one in status["stages"]} == {"train", "evaluate"}
    # A writer that leaves out what is its own removes that alone.
    status = write("two", "Ready", "brain")["status"]
    assert {one["name"] for one in status["stages"]} == {"train", "brain"}


def test_kubectl_shows_and_explains(
    server: Api, namespace: str, kubectl: Path, control_plane: ControlPlane, tmp_path: Path
) -> None:
    where = (f"--kubeconfig={control_plane.kubeconfig}", f"--cache-dir={tmp_path}")

    def say(*arguments: str) -> str:
        command = [str(kubectl), *where, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    server.create(EXPERTS, EXPERT, namespace=namespace)
    ready = {
        "type": "Ready", "status": "False", "reason": "Progressing",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    status = {
        "phase": "Training", "stage": "train", "progress": "61%", "conditions": [ready],
        "columns": {"base": "Qwen2.5-Coder-7B-Instruct", "commit": "3f2c0a9b1d22", "adapter": ""},
        "serving": {"loaded": "0/2"},
    }  # fmt: skip
    server.patch(EXPERTS, "payments-api", {"status": status}, namespace=namespace,
                 subresource="status")  # fmt: skip
    header, row = say("get", "ce", "-n", namespace).splitlines()
    assert header.split() == [
        "NAME", "PHASE", "STAGE", "PROGRESS", "BASE", "COMMIT", "ADAPTER", "LOADED", "READY", "AGE",
    ]  # fmt: skip
    assert row.split()[:7] == [
        "payments-api", "Training", "train", "61%", "Qwen2.5-Coder-7B-Instruct", "3f2c0a9b1d22",
        "0/2",
    ]  # fmt: skip
    assert "payments-api" in say("get", "nanodex", "-n", namespace)
    assert "Peak rate, in (0, 0.01]" in say("explain", "ce.spec.training.learningRate")


def test_a_status_is_not_written_through_the_resource(server: Api, namespace: str) -> None:
    created = server.create(EXPERTS, {**EXPERT, "status": {"phase": "Ready"}}, namespace=namespace)
    assert "status" not in created


def test_a_model_server_scales(server: Api) -> None:
    server.create(SERVERS, SERVER)
    try:
        scaled = server.patch(
            SERVERS, "qwen-coder-7b", {"spec": {"replicas": 3}}, subresource="scale"
        )
        assert scaled["kind"] == "Scale"
        assert server.get(SERVERS, "qwen-coder-7b")["spec"]["replicas"] == 3
        status = {"status": {"replicas": 2, "selector": "app=x"}}
        server.patch(SERVERS, "qwen-coder-7b", status, subresource="status")
        shown = server.patch(
            SERVERS, "qwen-coder-7b", {"spec": {"replicas": 3}}, subresource="scale"
        )
        assert shown["status"] == {"replicas": 2, "selector": "app=x"}
    finally:
        server.delete(SERVERS, "qwen-coder-7b")


# Texts around each rule: its own alphabet, its neighbours, and what no rule wants.
TEXTS = {
    f"{GIT}.url": st.from_regex(r"\A(https://|ssh://|file:///|[a-z]+@[a-z]*:?)[a@:/.é \x7f\n]*"),
    f"{GIT}.subPath": st.text("a./\\\n\x00é", max_size=6),
    f"{GIT}.include": st.lists(st.text("a.*/\\!\x1f", max_size=5), max_size=2),
    f"{GIT}.ref.branch": st.text("a.-/~^ \\[{\x7f\n", max_size=4),
    f"{GIT}.ref.commit": st.from_regex(r"\A[0-9a-fA]{39,41}\Z"),
    f"{GIT}.interval": st.text("0139hms", max_size=7),
    f"{GIT}.secretRef.name": st.text("aZ0.-_", max_size=4),
    "spec.baseModel.uri": st.from_regex(r"\A(hf|bundled|gs)://[a/.@-]{0,5}\Z"),
    "spec.baseModel.revision": st.text("a/._-@ \n", max_size=4),
    "spec.training.learningRate": st.text("0125.eE+-_ ", max_size=7),
    "spec.training.lora.dropout": st.text("019.eE-", max_size=5),
    "spec.training.activeDeadline": st.text("0169hmsd", max_size=6),
    "spec.training.batchSize": st.integers(0, 40),
    "spec.training.microBatchSize": st.integers(0, 9),
    "spec.training.nodes": st.integers(0, 5),
    "spec.training.queueName": st.text("aZ0.-", max_size=4),
    "spec.dataset.negativesRatio": st.text("0149.eE+", max_size=5),
    "spec.evaluation.arms": st.lists(st.sampled_from(["base", "adapter", "arm"]), max_size=3),
    "spec.evaluation.mustBeatBase": st.booleans(),
    "spec.serving.pin": st.sampled_from(["", "a" * 64, "sha256:" + "a" * 64, "sha256:", "A" * 64]),
    "metadata.name": st.text("a0-.", min_size=1, max_size=3),
}
changes_of_one = st.sampled_from(sorted(TEXTS)).flatmap(
    lambda path: st.fixed_dictionaries({path: TEXTS[path]})
)
changes_of_more = st.fixed_dictionaries({}, optional=TEXTS)


@pytest.mark.timeout(600)
@settings(max_examples=200)
@given(changes=changes_of_one | changes_of_more)
@example(changes={f"{GIT}.url": "https://a/\u00a0"})
@example(changes={f"{GIT}.ref.branch": "main\n"})
def test_both_judges_agree(server: Api, changes: dict[str, Any]) -> None:
    resource = changed(EXPERT, changes)
    try:
        CodeExpert.model_validate(resource)
    except ValidationError as error:
        by_pydantic = str(error)
    else:
        by_pydantic = ""
    try:
        server.judge(EXPERTS, resource, namespace="default")
    except Refused as refused:
        by_server = refused.message
    else:
        by_server = ""
    if resource["spec"]["source"]["git"]["url"].startswith("file://"):
        assert by_server
    else:
        assert bool(by_pydantic) == bool(by_server), (by_pydantic, by_server)
