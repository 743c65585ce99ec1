"""Small Jobs for the control plane's own tests."""

from tests.controlplane.api import Object
from tests.controlplane.node import STAGE_LABEL


def build_job(
    name: str, *, stage: str = "train", backoff_limit: int = 0, rules: list[Object] | None = None
) -> Object:
    """Return a Job that `restricted` allows, with rules of a pod failure policy."""
    spec: Object = {
        "backoffLimit": backoff_limit,
        "template": {"metadata": {"labels": {STAGE_LABEL: stage}}, "spec": build_pod_spec()},
    }
    if rules:
        spec["podFailurePolicy"] = {"rules": rules}
    return {"metadata": {"name": name}, "spec": spec}


def build_pod_spec() -> Object:
    """Return the Pod of one container that `restricted` allows."""
    return {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "stage",
                "image": "localhost/nothing:test",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def condition(found: Object, name: str) -> Object | None:
    """Return a condition of an object that holds."""
    for each in (found.get("status") or {}).get("conditions") or []:
        if each["type"] == name and each["status"] == "True":
            held: Object = each
            return held
    return None
