"""Good and bad CodeExperts and ModelServers, for both judges: pydantic and the API server.

A bad one comes with what its refusal must say: the rule's own sentence, or the path of the field
where each judge has words of its own.
"""

import copy
from typing import Any

Resource = dict[str, Any]
Changes = dict[str, Any]

EXPERT: Resource = {
    "apiVersion": "nanodex.dev/v1alpha1",
    "kind": "CodeExpert",
    "metadata": {"name": "payments-api"},
    "spec": {
        "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
        "baseModel": {"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct"},
    },
}
SERVER: Resource = {
    "apiVersion": "nanodex.dev/v1alpha1",
    "kind": "ModelServer",
    "metadata": {"name": "qwen-coder-7b"},
    "spec": {"baseModel": {"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct"}},
}

GIT = "spec.source.git"
POD = "spec.training.pod"
_DIGEST = "0123456789abcdef" * 4

GOOD_EXPERTS: list[Changes] = [
    {},
    {f"{GIT}.ref": {"tag": "v1.0/rc"}},
    {f"{GIT}.ref": {"commit": "a" * 64}},
    {f"{GIT}.ref": {"branch": "b" * 256}, f"{GIT}.interval": "30s"},
    {f"{GIT}.interval": "99999h"},
    {f"{GIT}.url": "git@git.example.com:acme/x.git", f"{GIT}.secretRef": {"name": "key"}},
    {f"{GIT}.url": "ssh://git@git.example.com:22/x.git", f"{GIT}.secretRef": {"name": "key"}},
    {f"{GIT}.url": "https://git.example.com/" + "x" * 2023 + "@"},
    {f"{GIT}.subPath": "services/..payments/a.b", f"{GIT}.include": ["*"] * 64},
    {f"{GIT}.exclude": ["/vendor/", "\\#odd", "!keep/**", "ü" * 256]},
    {"spec.baseModel": {"uri": "bundled://smollm2-135m-instruct", "revision": "refs/pr/1"}},
    {"spec.training.learningRate": "0.01"},
    {"spec.training.learningRate": "1E-2"},
    {"spec.training.learningRate": "1e-99"},
    {"spec.training.lora": {"r": 512, "alpha": 1, "dropout": "0.999999999"}},
    {"spec.training": {"batchSize": 16, "microBatchSize": 4, "nodes": 4}},
    {"spec.training.activeDeadline": "1h30m", "spec.training.queueName": "gpus"},
    {f"{POD}.nodeSelector": {"example.com/gpu": "h200"}},
    {f"{POD}.tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    {f"{POD}.resources": {"limits": {"nvidia.com/gpu": 1, "memory": "64Gi"}}},
    {f"{POD}.affinity": {"nodeAffinity": {}}},
    {f"{POD}.priorityClassName": "batch", f"{POD}.serviceAccountName": "train.er"},
    {"spec.dataset": {"negativesRatio": "4", "minConfidence": "1.0", "holdoutPercent": 0}},
    {"spec.evaluation": {"arms": ["adapter"], "mustBeatBase": False, "minScore": "0"}},
    {"spec.extract.languages": ["cpp"]},
    {"spec.serving": {"enabled": False, "pin": _DIGEST, "serverRef": {"name": "qwen"}}},
    {"spec.serving.pin": f"sha256:{_DIGEST}"},
    {"spec.artifacts": {"secretRef": {"name": "a.b"}, "deletionPolicy": "Delete"}},
    {"spec.retryNonce": "2026-01-01: again", "spec.suspend": True},
    {"metadata.name": "a" * 40},
    {"metadata.name": "0"},
]

# A sentence that both say.
BAD_EXPERTS: list[tuple[Changes, str]] = [
    ({f"{GIT}.ref": {}}, "ref must hold exactly one of branch, tag and commit"),
    (
        {f"{GIT}.ref": {"branch": "main", "tag": "v1"}},
        "ref must hold exactly one of branch, tag and commit",
    ),
    ({f"{GIT}.ref": {"branch": ""}}, "branch must be a ref name"),
    ({f"{GIT}.ref": {"branch": "--upload-pack=x"}}, "branch must be a ref name"),
    ({f"{GIT}.ref": {"branch": "a..b"}}, "branch must be a ref name"),
    ({f"{GIT}.ref": {"branch": "a b"}}, "branch must be a ref name"),
    ({f"{GIT}.ref": {"branch": "a\n"}}, "branch must be a ref name"),
    ({f"{GIT}.ref": {"tag": "v1^{}"}}, "tag must be a ref name"),
    ({f"{GIT}.ref": {"tag": "a\\b"}}, "tag must be a ref name"),
    ({f"{GIT}.ref": {"commit": "HEAD"}}, "commit must be a whole commit hash"),
    ({f"{GIT}.ref": {"commit": "a" * 41}}, "commit must be a whole commit hash"),
    (
        {f"{GIT}.ref": {"commit": "a" * 40}, f"{GIT}.interval": "1h"},
        "interval has no meaning with ref.commit: a commit never changes; remove one",
    ),
    ({f"{GIT}.interval": "29s"}, "interval must be 30s or more"),
    ({f"{GIT}.interval": "1d"}, "interval must be 30s or more"),
    ({f"{GIT}.interval": "100000h"}, "interval must be 30s or more"),
    ({f"{GIT}.url": "http://git.example.com/x.git"}, "url must be an https or ssh address"),
    ({f"{GIT}.url": "ext::sh -c id"}, "url must be an https or ssh address"),
    ({f"{GIT}.url": "--upload-pack=id"}, "url must be an https or ssh address"),
    ({f"{GIT}.url": "https://git.example.com/a b"}, "url must be an https or ssh address"),
    ({f"{GIT}.url": "https://git.example.com/a\n"}, "url must be an https or ssh address"),
    ({f"{GIT}.url": "https://me:secret@git.example.com/x"}, "url must not hold a user or password"),
    ({f"{GIT}.url": "https://token@git.example.com/x"}, "url must not hold a user or password"),
    (
        {f"{GIT}.url": "ssh://git:pw@git.example.com/x", f"{GIT}.secretRef": {"name": "key"}},
        "url must not hold a user or password",
    ),
    ({f"{GIT}.url": "ssh://git@git.example.com/x"}, "secretRef must name a Secret with identity"),
    ({f"{GIT}.url": "git@git.example.com:x.git"}, "secretRef must name a Secret with identity"),
    ({f"{GIT}.secretRef": {"name": "Upper"}}, "name must be the name of a Secret"),
    ({f"{GIT}.subPath": "/etc"}, "subPath must be relative to the root"),
    ({f"{GIT}.subPath": "a\\b"}, "subPath must be relative to the root"),
    ({f"{GIT}.subPath": "a/../../b"}, "subPath must stay inside the repository"),
    ({f"{GIT}.subPath": ".."}, "subPath must stay inside the repository"),
    ({f"{GIT}.subPath": "a\0b"}, "subPath must stay inside the repository"),
    ({f"{GIT}.include": ["*.py", "../*.py"]}, "include must stay inside the repository"),
    ({f"{GIT}.exclude": ["a/.."]}, "exclude must stay inside the repository"),
    ({"spec.baseModel.uri": "hf://Qwen"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
    ({"spec.baseModel.uri": "hf://a/b/../c"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
    ({"spec.baseModel.uri": "Qwen/Qwen2.5"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
    ({"spec.baseModel.revision": "main --x"}, "revision must be a commit, branch or tag"),
    ({"spec.training.learningRate": "0"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "0.0100001"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "-1e-4"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "nan"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "1e999"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": ""}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "0_1"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.learningRate": "\u0660.001"}, "learningRate must be a number in (0, 0.01]"),
    ({"spec.training.lora.dropout": "1"}, "dropout must be a number in [0, 1)"),
    (
        {"spec.training": {"batchSize": 8, "microBatchSize": 3}},
        "batchSize must be a multiple of microBatchSize times nodes",
    ),
    (
        {"spec.training": {"batchSize": 16, "microBatchSize": 8, "nodes": 4}},
        "batchSize must be a multiple of microBatchSize times nodes",
    ),
    ({"spec.training.activeDeadline": "59s"}, "activeDeadline must be 1m or more"),
    ({"spec.training.queueName": "GPUs"}, "queueName must be the name of a LocalQueue"),
    ({f"{POD}.runtimeClassName": "a/b"}, "runtimeClassName must be the name of a RuntimeClass"),
    ({"spec.dataset.negativesRatio": "4.1"}, "negativesRatio must be a number in [0, 4]"),
    ({"spec.dataset.minConfidence": "1.01"}, "minConfidence must be a number in [0, 1]"),
    ({"spec.evaluation.minScore": "60%"}, "minScore must be a number in [0, 1]"),
    ({"spec.evaluation.arms": ["base"]}, "arms must hold adapter, and base"),
    ({"spec.evaluation.arms": ["adapter"]}, "arms must hold adapter, and base"),
    ({"spec.serving.pin": "sha256:abc"}, "pin must be the digest of an adapter"),
    ({"spec.serving.serverRef.name": "-x"}, "name must be the name of a ModelServer"),
]

# The path of the field, in each judge's own words.
MISFITTING_EXPERTS: list[tuple[Changes, str]] = [
    ({"spec.source.git": {}}, f"{GIT}.url"),
    ({"spec.baseModel": None}, "spec.baseModel"),
    ({"spec.training.lora.r": 12}, "spec.training.lora.r"),
    ({"spec.training.method": "dora"}, "spec.training.method"),
    ({"spec.training.lora.targetModules": "q_proj"}, "spec.training.lora.targetModules"),
    ({"spec.training.learningRate": 0.0002}, "spec.training.learningRate"),
    ({"spec.training.epochs": 0}, "spec.training.epochs"),
    ({"spec.training.epochs": 1001}, "spec.training.epochs"),
    ({"spec.training.epochs": 1.5}, "spec.training.epochs"),
    ({"spec.training.nodes": 65}, "spec.training.nodes"),
    ({"spec.dataset.holdoutPercent": 51}, "spec.dataset.holdoutPercent"),
    ({"spec.extract.languages": []}, "spec.extract.languages"),
    ({"spec.extract.languages": ["cobol"]}, "spec.extract.languages"),
    ({"spec.extract.languages": ["java", "java"]}, "spec.extract.languages"),
    ({f"{GIT}.include": ["*.py"] * 65}, f"{GIT}.include"),
    ({f"{GIT}.include": [""]}, f"{GIT}.include"),
    ({f"{GIT}.exclude": ["x" * 257]}, f"{GIT}.exclude"),
    ({f"{GIT}.url": "https://x.example/" + "x" * 2048}, f"{GIT}.url"),
    ({f"{GIT}.ref": {"branch": "b" * 257}}, f"{GIT}.ref.branch"),
    ({f"{POD}.tolerations": [{}] * 33}, f"{POD}.tolerations"),
    ({f"{POD}.nodeSelector": {f"k{n}": "v" for n in range(33)}}, f"{POD}.nodeSelector"),
    ({f"{POD}.nodeSelector": {"k": "v" * 64}}, f"{POD}.nodeSelector"),
    ({"spec.evaluation.promotion": "Never"}, "spec.evaluation.promotion"),
    ({"spec.artifacts.historyLimit": 0}, "spec.artifacts.historyLimit"),
    ({"spec.retryNonce": "x" * 257}, "spec.retryNonce"),
    ({"spec.suspend": "maybe"}, "spec.suspend"),
    ({"spec.training.useDora": True}, "spec.training.useDora"),
    ({f"{GIT}.branch": "main"}, f"{GIT}.branch"),
    ({"metadata.name": "a" * 41}, "metadata.name"),
    ({"metadata.name": "a.b"}, "metadata.name"),
]

# Right on one machine, wrong in a cluster.
LOCAL_EXPERTS: list[tuple[Changes, str]] = [
    ({f"{GIT}.url": "file:///src/payments.git"}, "url must be an https or ssh address: a Pod"),
    (
        {"spec.baseModel.uri": "file:///models/qwen"},
        "uri must be hf://OWNER/NAME or bundled://NAME",
    ),
    ({"spec.baseModel.uri": "s3://models/qwen"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
    ({"spec.baseModel.uri": "pvc://models/qwen"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
]

GOOD_SERVERS: list[Changes] = [
    {},
    {"spec.adapters": {"maxRank": 512, "maxLoaded": 64, "maxCached": 64, "capacity": 4096}},
    {"spec.allowedNamespaces.selector": {"matchLabels": {"team": "a"}}},
    {"spec.engine": {"image": "registry.example:5000/vllm@sha256:" + _DIGEST, "dtype": "float32"}},
    {"spec.engine.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
    {"spec.replicas": 0},
]
BAD_SERVERS: list[tuple[Changes, str]] = [
    ({"spec.baseModel.uri": "qwen"}, "uri must be hf://OWNER/NAME or bundled://NAME"),
    ({"spec.adapters": {"maxLoaded": 65}}, "maxLoaded must be at most maxCached"),
    ({"spec.engine.image": "vllm; id"}, "image must be the reference of an image"),
    ({"spec.access.apiKeysSecretRef.name": "A"}, "name must be the name of a Secret"),
]
MISFITTING_SERVERS: list[tuple[Changes, str]] = [
    ({"spec.replicas": -1}, "spec.replicas"),
    ({"spec.adapters.maxRank": 48}, "spec.adapters.maxRank"),
    ({"spec.engine.dtype": "int4"}, "spec.engine.dtype"),
    ({"spec.engine.extraArgs": ["--x"] * 65}, "spec.engine.extraArgs"),
    ({"spec.engine.enforceEager": True}, "spec.engine.enforceEager"),
    ({"metadata.name": "a" * 41}, "metadata.name"),
]


def changed(resource: Resource, changes: Changes) -> Resource:
    """Return a copy of `resource` with other values at some paths; None removes the field."""
    result = copy.deepcopy(resource)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = result
        for name in parents:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = copy.deepcopy(value)
    return result
