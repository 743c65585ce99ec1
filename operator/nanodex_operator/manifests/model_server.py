"""What a ModelServer is made of beside its Deployment: desired set, Service, budget, policy.

All of it lives in the operator's namespace and is owned by the ModelServer.
"""

from typing import Any
from urllib.parse import urlsplit

from nanodex.api.desired import DesiredSet
from nanodex.api.model_server import ModelServer
from nanodex_operator.manifests.engine_pod import (
    PRIVATE_PORT,
    PUBLIC_PORT,
    SET_FILE,
    build_deployment,
    selector,
    server_labels,
    server_name,
)
from nanodex_operator.manifests.metadata import SET_GENERATION_ANNOTATION, owned_by
from nanodex_operator.settings import Settings

# Metadata services of clouds: whoever reaches them is the node.
_EVERYWHERE_BUT_THE_NODE = [
    {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]},
    {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::254/128"]},
]
_HTTPS = "443"
# Of the Pods that review tokens; the chart says the same.
REVIEWS_PORT = 8090


def server_url(server: ModelServer, *, settings: Settings) -> str:
    """Base address of the OpenAI API inside the cluster."""
    return f"http://{server_name(server)}.{settings.namespace}.svc:{PUBLIC_PORT}/v1"


def build_children(
    *,
    server: ModelServer,
    uid: str,
    desired: DesiredSet,
    replaces: str = "",
    only_replica: bool = False,
    settings: Settings,
) -> tuple[dict[str, Any], ...]:
    """Return all children, in the order in which they are applied.

    Args:
        server: what the administrator wants.
        uid: metadata.uid of the resource, which owns them.
        desired: what its agents shall serve.
        replaces: resourceVersion of the ConfigMap that `desired` was made from; empty: there was
            none. Where it is not that one any more, the API server refuses it.
        only_replica: whether its Pod gets requests also while its engine is away.
        settings: the operator's.
    """
    owned = {
        "namespace": settings.namespace,
        "name": server_name(server),
        "labels": server_labels(server),
        "ownerReferences": owned_by("ModelServer", name=server.metadata.name, uid=uid),
    }
    return (
        # Pods mount it: it comes first.
        _desired_set(desired, metadata=owned | ({"resourceVersion": replaces} if replaces else {})),
        _network_policy(server, metadata=owned, settings=settings),
        # A Pod that comes must not find itself published before it answers: before the Deployment.
        _service(server, metadata=owned, only_replica=only_replica),
        _disruption_budget(server, metadata=owned),
        build_deployment(server=server, uid=uid, settings=settings),
    )


def read_desired_set(config_map: dict[str, Any]) -> DesiredSet:
    """Return the desired set in a ConfigMap.

    Raises:
        ValueError: there is none that can be read.
    """
    return DesiredSet.model_validate_json((config_map.get("data") or {}).get(SET_FILE) or "")


def _desired_set(desired: DesiredSet, *, metadata: dict[str, Any]) -> dict[str, Any]:
    generation = {SET_GENERATION_ANNOTATION: str(desired.generation)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata | {"annotations": generation},
        "data": {SET_FILE: desired.encode().decode()},
    }


def _service(
    server: ModelServer, *, metadata: dict[str, Any], only_replica: bool
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": selector(server),
            # Its agent lets them wait.
            "publishNotReadyAddresses": only_replica,
            "ports": [
                {"name": "http", "port": PUBLIC_PORT, "targetPort": "http", "protocol": "TCP"}
            ],
        },
    }


def _disruption_budget(server: ModelServer, *, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        # Of one replica too: a budget that allows none would keep a node from being drained.
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(server)}},
    }


def _network_policy(
    server: ModelServer, *, metadata: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    """Clients reach the agent's port alone; the Pod reaches DNS, the store and perhaps a hub."""
    ports = set(settings.store_ports or (_store_port(settings),))
    if server.spec.base_model.uri.startswith("hf://"):
        ports.add(_HTTPS)
    # In the same namespace: the peer names none.
    operator = {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}}}
    reviews = {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "access"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": selector(server)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"port": PUBLIC_PORT, "protocol": "TCP"}]},
                {"ports": [{"port": PRIVATE_PORT, "protocol": "TCP"}], "from": [operator]},
            ],
            "egress": [
                {"ports": [{"port": 53, "protocol": name} for name in ("UDP", "TCP")]},
                {
                    "ports": [
                        {"port": int(port), "protocol": "TCP"} for port in sorted(ports, key=int)
                    ],
                    # Some networks do not count Pods among the addresses of a block.
                    "to": [
                        *({"ipBlock": block} for block in _EVERYWHERE_BUT_THE_NODE),
                        {"namespaceSelector": {}},
                    ],
                },
                *(
                    [{"ports": [{"port": REVIEWS_PORT, "protocol": "TCP"}], "to": [reviews]}]
                    if settings.token_reviews
                    else []
                ),
            ],
        },
    }


def _store_port(settings: Settings) -> str:
    parts = urlsplit(settings.store_endpoint)
    if parts.port is not None:
        return str(parts.port)
    return "80" if parts.scheme == "http" else _HTTPS
