"""The Pod that runs one stage: what it may do, what it is given, what it is told.

It fits PodSecurity `restricted`. Secrets are mounted by name, so the operator needs no rights on
them; each task gets those alone that it uses. They are optional to the kubelet: a Pod without its
Secret runs, and the stage says which one is missing, where Kubernetes would only let it wait.
"""

from collections.abc import Sequence
from typing import Any

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Pinned
from nanodex.api.stages import StageName, Task
from nanodex_operator.manifests.metadata import EXPERT_ANNOTATION
from nanodex_operator.manifests.resources import resources_of, threads_of, wants_gpu
from nanodex_operator.settings import Settings

CONTAINER = "stage"
USER = 65532
RENDEZVOUS_PORT = 29500

_EXPERT = "/etc/nanodex/expert"
_GIT = "/etc/nanodex/git"
_STORE_CA = "/etc/nanodex/store-ca"
_CACHE = "/cache"
_READ_GIT = frozenset({Task.RESOLVE, Task.EXTRACT})
_READ_MODEL = frozenset({Task.RESOLVE, Task.BRAIN, Task.TRAIN, Task.EVALUATE})
# The user says where and how these run: they may need a GPU.
_PLACED_BY_USER = frozenset({Task.TRAIN, Task.EVALUATE})
_TERMINATION_SECONDS = 30
# A checkpoint is saved and uploaded.
_TRAIN_TERMINATION_SECONDS = 120


def pod_spec(
    expert: CodeExpert,
    *,
    task: Task,
    key: str,
    job: str,
    rendezvous: str,
    pinned: Pinned | None,
    settings: Settings,
) -> dict[str, Any]:
    """Return the spec of a Pod.

    Args:
        expert: what the user wants.
        task: what the Pod does.
        key: key of the run; the stage refuses to make anything else.
        job: name of its Job.
        rendezvous: headless Service of a training run on several nodes; empty for one node.
        pinned: what the references mean; None for resolve, which finds it out.
        settings: the operator's.

    Raises:
        ValueError: a stage has no `pinned`.
    """
    wanted = expert.spec.training.pod.resources if task in _PLACED_BY_USER else {}
    volumes, mounts = _volumes(expert, task, settings=settings)
    container = {
        "name": CONTAINER,
        "image": _image(task, pinned=pinned, settings=settings),
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["nanodex", *_words(task)],
        "args": [_literal(word) for word in _arguments(expert, task, key, pinned, settings)],
        "env": _environment(expert, task, job=job, rendezvous=rendezvous, settings=settings),
        "resources": resources_of(task, wanted=wanted),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            # The NVIDIA runtime writes the driver's libraries into the container.
            "readOnlyRootFilesystem": not wants_gpu(wanted),
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }
    if task is not Task.RESOLVE:
        secret = expert.spec.artifacts.secret_ref.name
        container["envFrom"] = [{"secretRef": {"name": secret, "optional": True}}]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": (
            _TRAIN_TERMINATION_SECONDS if task is Task.TRAIN else _TERMINATION_SECONDS
        ),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if rendezvous:
        spec["subdomain"] = rendezvous
    return spec | _placement(expert, task)


def _image(task: Task, *, pinned: Pinned | None, settings: Settings) -> str:
    if task is Task.RESOLVE:
        return settings.nanodex_image
    return _required(pinned, task).images.of(StageName(task))


def _words(task: Task) -> Sequence[str]:
    return (task.value,) if task is Task.RESOLVE else ("stage", task.value)


def _arguments(
    expert: CodeExpert, task: Task, key: str, pinned: Pinned | None, settings: Settings
) -> list[str]:
    arguments = [f"--expert={_EXPERT}/expert.json", "--termination-message=/dev/termination-log"]
    if task in _READ_GIT and expert.spec.source.git.secret_ref is not None:
        arguments.append(f"--credentials={_GIT}")
    if task is Task.RESOLVE:
        return arguments
    known = _required(pinned, task)
    return [
        *arguments,
        f"--store={settings.store}",
        f"--cache={_CACHE}",
        f"--key={key}",
        f"--commit={known.commit}",
        f"--base-model-revision={known.base_model_revision}",
        f"--nanodex-image={known.images.nanodex}",
        f"--trainer-image={known.images.trainer}",
    ]


def _required(pinned: Pinned | None, task: Task) -> Pinned:
    if pinned is None:
        raise ValueError(f"{task} needs to know what the references mean")
    return pinned


def _literal(word: str) -> str:
    """Keep the kubelet from putting the value of a variable in the place of $(NAME)."""
    return word.replace("$", "$$")


def _environment(
    expert: CodeExpert, task: Task, *, job: str, rendezvous: str, settings: Settings
) -> list[dict[str, Any]]:
    # Nothing but these two folders can be written.
    values = {"HOME": "/tmp", "HF_HOME": f"{_CACHE}/hub", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if task is not Task.RESOLVE:
        if settings.store_endpoint:
            values["AWS_ENDPOINT_URL_S3"] = settings.store_endpoint
        if settings.store_ca_config_map:
            values["AWS_CA_BUNDLE"] = f"{_STORE_CA}/ca.crt"
    if rendezvous:
        # What torchrun would set. It is left out because it exits with 1 whatever its worker's exit
        # code is, and the pod failure policy lives on those.
        values |= {
            "MASTER_ADDR": f"{job}-0.{rendezvous}",
            "MASTER_PORT": str(RENDEZVOUS_PORT),
            "WORLD_SIZE": str(expert.spec.training.nodes),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
        }
    environment: list[dict[str, Any]] = [
        {"name": name, "value": _literal(value)} for name, value in values.items()
    ]
    wanted = expert.spec.training.pod.resources
    if task in _PLACED_BY_USER and not wants_gpu(wanted):
        environment += threads_of(wanted, container=CONTAINER)
    if rendezvous:
        index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        environment.append({"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": index}}})
    token = expert.spec.base_model.secret_ref
    if task in _READ_MODEL and token is not None:
        reference = {"name": token.name, "key": "token", "optional": True}
        environment.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return environment


def _volumes(
    expert: CodeExpert, task: Task, *, settings: Settings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes and where they are mounted."""
    annotation = f"metadata.annotations['{EXPERT_ANNOTATION}']"
    item = {"path": "expert.json", "fieldRef": {"fieldPath": annotation}}
    sources: dict[str, tuple[str, dict[str, Any]]] = {
        "expert": (_EXPERT, {"downwardAPI": {"items": [item]}}),
    }
    secret = expert.spec.source.git.secret_ref
    if task in _READ_GIT and secret is not None:
        # Readable for the Pod's group; git gets a copy that only its own user can read.
        mounted = {"secretName": secret.name, "defaultMode": 0o440, "optional": True}
        sources["git"] = (_GIT, {"secret": mounted})
    if task is not Task.RESOLVE and settings.store_ca_config_map:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        source = {"name": settings.store_ca_config_map, "items": items}
        sources["store-ca"] = (_STORE_CA, {"configMap": source})
    folders: dict[str, str] = {"cache": _CACHE, "tmp": "/tmp"}
    volumes = [{"name": name, **source} for name, (_, source) in sources.items()]
    mounts: list[dict[str, Any]] = [
        {"name": name, "mountPath": path, "readOnly": True} for name, (path, _) in sources.items()
    ]
    return (
        volumes + [{"name": name, "emptyDir": {}} for name in folders],
        mounts + [{"name": name, "mountPath": path} for name, path in folders.items()],
    )


def _placement(expert: CodeExpert, task: Task) -> dict[str, Any]:
    if task not in _PLACED_BY_USER:
        return {}
    pod = expert.spec.training.pod
    wanted: dict[str, Any] = {
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [dict(toleration) for toleration in pod.tolerations],
        "affinity": pod.affinity,
        "priorityClassName": pod.priority_class_name,
        "runtimeClassName": pod.runtime_class_name,
        "serviceAccountName": pod.service_account_name if task is Task.TRAIN else "",
    }
    return {name: value for name, value in wanted.items() if value}
