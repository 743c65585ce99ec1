"""The labels, annotations and owners that the operator writes and finds its objects by."""

from typing import Any

from nanodex.api.code_expert import API_VERSION

GROUP = API_VERSION.partition("/")[0]
EXPERT_LABEL = f"{GROUP}/expert"
STAGE_LABEL = f"{GROUP}/stage"
SERVER_LABEL = f"{GROUP}/server"
KEY_ANNOTATION = f"{GROUP}/key"
RETRY_NONCE_ANNOTATION = f"{GROUP}/retry-nonce"
EXPERT_ANNOTATION = f"{GROUP}/expert-json"
SET_GENERATION_ANNOTATION = f"{GROUP}/set-generation"
TEMPLATE_ANNOTATION = f"{GROUP}/pod-template"


def labels(component: str, **own: str) -> dict[str, str]:
    """Return the recommended labels; `own` are names of this project, without their domain."""
    recommended = {
        "app.kubernetes.io/name": "nanodex",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "nanodex-operator",
        "app.kubernetes.io/part-of": "nanodex",
    }
    return recommended | {f"{GROUP}/{name}": value for name, value in own.items()}


def owned_by(kind: str, *, name: str, uid: str) -> list[dict[str, Any]]:
    """Return owner references: the object goes when its owner goes."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": name,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
