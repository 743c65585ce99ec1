"""The Deployment of a ModelServer: an engine, and the agent that is the only way to it.

The agent is a native sidecar: an init container that stays. Kubernetes starts vLLM once the agent
listens, so its startupProbe asks for no more than that; waiting for vLLM there would never end. The
Pod is ready when the agent says so: the engine answers and a first sync was attempted. When the Pod
ends, both containers' hooks wait until the agent has drained; then vLLM gets its signal, and the
agent after it.
"""

import hashlib
from typing import Any

from nanodex.api.keys import canonical_json
from nanodex.api.model_server import ModelServer
from nanodex_operator.manifests.engine_container import (
    ADAPTERS,
    BASE_MODEL,
    DRAINING,
    MODEL,
    RUN,
    SOCKET,
    container_security,
    engine_container,
    engine_settings,
    literal,
    wait_for_agent,
)
from nanodex_operator.manifests.metadata import (
    SERVER_LABEL,
    TEMPLATE_ANNOTATION,
    labels,
    owned_by,
)
from nanodex_operator.settings import Settings

COMPONENT = "model-server"
AGENT = "agent"
FETCH = "base-model"
PUBLIC_PORT = 8000
PRIVATE_PORT = 8001
SET_FILE = "set.json"
USER = 65532

_DESIRED = "/etc/nanodex/desired"
_KEYS = "/etc/nanodex/keys"
_STORE_CA = "/etc/nanodex/store-ca"
_SETTLE_SECONDS = 5
_DRAIN_SECONDS = 120
# Both, vLLM's own end, and what the kubelet needs in between.
_TERMINATION_SECONDS = 160
_PARITY_LIMITS = {"float32": "0.005", "bfloat16": "0.12", "float16": "0.12"}


def server_name(server: ModelServer) -> str:
    """Name of everything that belongs to a ModelServer; at most 43 characters."""
    return f"ms-{server.metadata.name}"


def server_labels(server: ModelServer) -> dict[str, str]:
    """Return the labels of everything that belongs to a ModelServer."""
    return labels(COMPONENT, server=server.metadata.name)


def selector(server: ModelServer) -> dict[str, str]:
    """Return the labels that select its Pods; they can never change."""
    return {"app.kubernetes.io/component": COMPONENT, SERVER_LABEL: server.metadata.name}


def build_deployment(*, server: ModelServer, uid: str, settings: Settings) -> dict[str, Any]:
    """Return the apps/v1 Deployment.

    Args:
        server: what the administrator wants.
        uid: metadata.uid of the resource, which owns it.
        settings: the operator's.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": server_name(server),
            "namespace": settings.namespace,
            "labels": server_labels(server),
            "annotations": {TEMPLATE_ANNOTATION: pod_template_hash(server, settings=settings)},
            "ownerReferences": owned_by("ModelServer", name=server.metadata.name, uid=uid),
        },
        "spec": {
            "replicas": server.spec.replicas,
            "selector": {"matchLabels": selector(server)},
            # A new engine answers before an old one goes.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "progressDeadlineSeconds": 3600,
            "revisionHistoryLimit": 2,
            "template": _template(server, settings=settings),
        },
    }


def pod_template_hash(server: ModelServer, *, settings: Settings) -> str:
    """Return what names the Pods' template; with another one they are replaced."""
    return hashlib.sha256(canonical_json(_template(server, settings=settings))).hexdigest()


def _template(server: ModelServer, *, settings: Settings) -> dict[str, Any]:
    return {
        "metadata": {"labels": server_labels(server)},
        "spec": _pod(server, settings=settings),
    }


def _pod(server: ModelServer, *, settings: Settings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _TERMINATION_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            _base_model(server, settings=settings),
            _agent(server, settings=settings),
        ],
        "containers": [
            engine_container(
                server,
                settings=settings,
                mounts=[
                    {"name": "run", "mountPath": RUN},
                    {"name": "model", "mountPath": MODEL, "readOnly": True},
                    {"name": "adapters", "mountPath": ADAPTERS, "readOnly": True},
                    {"name": "engine-tmp", "mountPath": "/tmp"},
                    {"name": "shm", "mountPath": "/dev/shm"},
                ],
            )
        ],
        "volumes": _volumes(server, settings=settings),
        # A node that goes takes one replica with it where there are other nodes.
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(server)},
                "matchLabelKeys": ["pod-template-hash"],
            }
        ],
    }
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    placement = {
        "nodeSelector": dict(server.spec.pod.node_selector),
        "tolerations": [dict(one) for one in server.spec.pod.tolerations],
    }
    return spec | {name: value for name, value in placement.items() if value}


def _base_model(server: ModelServer, *, settings: Settings) -> dict[str, Any]:
    """Return the init container that brings the base model."""
    base = server.spec.base_model
    environment: list[dict[str, Any]] = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "USER", "value": "nanodex"},
        {"name": "HF_HUB_DISABLE_TELEMETRY", "value": "1"},
    ]
    if base.secret_ref is not None:
        reference = {"name": base.secret_ref.name, "key": "token", "optional": True}
        environment.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}})
    return {
        "name": FETCH,
        # It has what converts the bundled model and what speaks to a hub.
        "image": settings.trainer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["nanodex", "base-model"],
        "args": [
            literal(base.uri),
            f"--to={MODEL}",
            literal(f"--revision={base.revision}"),
            f"--desired-set={_DESIRED}/{SET_FILE}",
            "--output=json",
        ],
        "env": environment,
        # Less than agent and engine, so it is they that decide what the Pod asks for.
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "securityContext": container_security(read_only=True),
        "volumeMounts": [
            {"name": "desired", "mountPath": _DESIRED, "readOnly": True},
            {"name": "model", "mountPath": MODEL},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _agent(server: ModelServer, *, settings: Settings) -> dict[str, Any]:
    mounts = [
        {"name": "desired", "mountPath": _DESIRED, "readOnly": True},
        {"name": "keys", "mountPath": _KEYS, "readOnly": True},
        {"name": "run", "mountPath": RUN},
        {"name": "model", "mountPath": MODEL, "readOnly": True},
        {"name": "adapters", "mountPath": ADAPTERS},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if settings.store_ca_config_map:
        mounts.append({"name": "store-ca", "mountPath": _STORE_CA, "readOnly": True})
    store = {"name": settings.server_store_secret, "optional": True}
    return {
        "name": AGENT,
        "image": settings.nanodex_image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["nanodex", "agent"],
        "args": [literal(word) for word in _agent_arguments(server, settings=settings)],
        "env": _agent_environment(settings),
        "envFrom": [{"secretRef": store}],
        "ports": [
            {"name": "http", "containerPort": PUBLIC_PORT, "protocol": "TCP"},
            {"name": "private", "containerPort": PRIVATE_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "512Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(read_only=True),
        # vLLM is started after this: that it listens is all that may be asked here.
        "startupProbe": {
            "tcpSocket": {"port": "private"},
            "periodSeconds": 1,
            "failureThreshold": 120,
        },
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": "http"},
            "periodSeconds": 2,
            "timeoutSeconds": 6,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": "private"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "lifecycle": {"preStop": {"exec": {"command": wait_for_agent(f": > {DRAINING}")}}},
        "volumeMounts": mounts,
    }


def _agent_arguments(server: ModelServer, *, settings: Settings) -> list[str]:
    engine = engine_settings(server)
    return [
        f"--desired-set={_DESIRED}/{SET_FILE}",
        f"--keys={_KEYS}",
        f"--engine-socket={SOCKET}",
        f"--base-model={BASE_MODEL}",
        f"--base-model-uri={server.spec.base_model.uri}",
        f"--store={settings.store}",
        f"--adapters={ADAPTERS}",
        f"--drain={DRAINING}",
        f"--device={engine.device}",
        f"--max-rank={engine.max_rank}",
        f"--resident={engine.resident}",
        f"--parity-limit={server.spec.engine.parity_limit or _PARITY_LIMITS[engine.dtype]}",
        f"--disk-bytes={server.spec.adapters.max_disk_bytes}",
        f"--max-concurrent={server.spec.access.max_concurrent_requests}",
        *([f"--token-reviews={settings.token_reviews}"] if settings.token_reviews else []),
        f"--port={PUBLIC_PORT}",
        f"--private-port={PRIVATE_PORT}",
        f"--settle-seconds={_SETTLE_SECONDS}",
        f"--drain-seconds={_DRAIN_SECONDS}",
    ]


def _agent_environment(settings: Settings) -> list[dict[str, Any]]:
    values = {"HOME": "/tmp"}
    if settings.store_endpoint:
        values["AWS_ENDPOINT_URL_S3"] = settings.store_endpoint
    if settings.store_ca_config_map:
        values["AWS_CA_BUNDLE"] = f"{_STORE_CA}/ca.crt"
    return [{"name": name, "value": literal(value)} for name, value in values.items()]


def _volumes(server: ModelServer, *, settings: Settings) -> list[dict[str, Any]]:
    keys = server.spec.access.api_keys_secret_ref.name
    volumes: list[dict[str, Any]] = [
        {"name": "desired", "configMap": {"name": server_name(server)}},
        # Without the Secret nobody may ask, which the agent says; the Pod would only wait.
        {"name": "keys", "secret": {"secretName": keys, "defaultMode": 0o440, "optional": True}},
        {"name": "model", "emptyDir": {}},
        {"name": "run", "emptyDir": {}},
        {"name": "adapters", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "engine-tmp", "emptyDir": {}},
        # Worker processes share tensors here.
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    if settings.store_ca_config_map:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        source = {"name": settings.store_ca_config_map, "items": items}
        volumes.append({"name": "store-ca", "configMap": source})
    return volumes
