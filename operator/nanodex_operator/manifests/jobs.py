"""The Job of a task, and the Service through which the Pods of one training run find each other.

A retry is decided by what a Pod's end means, never by a count alone: a Pod that was evicted or that
saved a checkpoint (exit code 75) is replaced for free, one whose input is wrong (10-29) ends the
Job at once, anything else counts against backoffLimit.
"""

from typing import Any

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Pinned
from nanodex.api.reasons import ExitCode
from nanodex.api.stages import Task
from nanodex_operator.manifests.metadata import (
    EXPERT_ANNOTATION,
    KEY_ANNOTATION,
    RETRY_NONCE_ANNOTATION,
    labels,
    owned_by,
)
from nanodex_operator.manifests.resources import PARSER_PROCESSES
from nanodex_operator.manifests.stage_pod import CONTAINER, RENDEZVOUS_PORT, pod_spec
from nanodex_operator.manifests.travelling import travelling
from nanodex_operator.settings import Settings

COMPONENT = "stage"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_BACKOFF_LIMIT = 3
# The input is wrong, or what comes out cannot be served: codes to come included.
_TERMINAL_EXIT_CODES = list(range(10, 30))


def build_job(
    *,
    expert: CodeExpert,
    uid: str,
    task: Task,
    key: str,
    name: str,
    retry_nonce: str,
    pinned: Pinned | None,
    settings: Settings,
) -> dict[str, Any]:
    """Return the batch/v1 Job that runs `task`.

    The time it may take is not in it: a deadline of the Job would count waiting in a queue, so the
    operator counts from Running.

    Args:
        expert: what the user wants.
        uid: metadata.uid of the resource, which owns the Job.
        task: what the Job does.
        key: key of the run, 64 hexadecimal digits.
        name: of the Job; at most 63 characters, with the index of a Pod.
        retry_nonce: spec.retryNonce that the Job belongs to.
        pinned: what the references mean; None for resolve alone.
        settings: the operator's.

    Raises:
        ValueError: a stage has no `pinned`.
    """
    training = expert.spec.training
    trains = task is Task.TRAIN
    queue = training.queue_name if trains else ""
    nodes = training.nodes if trains else 1
    marks = _labels(expert, task)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": expert.metadata.namespace,
            "labels": marks | ({QUEUE_LABEL: queue} if queue else {}),
            "annotations": {KEY_ANNOTATION: key, RETRY_NONCE_ANNOTATION: retry_nonce},
            "ownerReferences": owned_by("CodeExpert", name=expert.metadata.name, uid=uid),
        },
        "spec": {
            # Kueue lets it start.
            "suspend": bool(queue),
            "completionMode": "Indexed" if nodes > 1 else "NonIndexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": training.backoff_limit if trains else _BACKOFF_LIMIT,
            "ttlSecondsAfterFinished": settings.job_ttl_seconds,
            # Two Pods of one run would train side by side.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {
                "metadata": {
                    "labels": marks,
                    "annotations": {
                        EXPERT_ANNOTATION: travelling(expert, workers=PARSER_PROCESSES)
                    },
                },
                "spec": pod_spec(
                    expert,
                    task=task,
                    key=key,
                    job=name,
                    rendezvous=rendezvous_name(expert) if nodes > 1 else "",
                    pinned=pinned,
                    settings=settings,
                ),
            },
        },
    }


def build_rendezvous(*, expert: CodeExpert, uid: str) -> dict[str, Any] | None:
    """Return the headless Service of training on several nodes; None for one node.

    One for all training Jobs of the CodeExpert, so that none is left behind by a run that is over:
    the Pods have the names of their Job, `<job>-<index>.<service>`.
    """
    if expert.spec.training.nodes == 1:
        return None
    marks = _labels(expert, Task.TRAIN)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": rendezvous_name(expert),
            "namespace": expert.metadata.namespace,
            "labels": marks,
            "ownerReferences": owned_by("CodeExpert", name=expert.metadata.name, uid=uid),
        },
        "spec": {
            "clusterIP": "None",
            # The Pods look for each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": marks,
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP"}],
        },
    }


def rendezvous_name(expert: CodeExpert) -> str:
    """Return the name of the Service that `build_rendezvous` builds."""
    return f"ce-{expert.metadata.name}-train"


def _labels(expert: CodeExpert, task: Task) -> dict[str, str]:
    return labels(COMPONENT, expert=expert.metadata.name, stage=task.value)


def _failure_rules() -> list[dict[str, Any]]:
    def on_exit(action: str, codes: list[int]) -> dict[str, Any]:
        matched = {"containerName": CONTAINER, "operator": "In", "values": codes}
        return {"action": action, "onExitCodes": matched}

    return [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        on_exit("Ignore", [ExitCode.INTERRUPTED.value]),
        on_exit("FailJob", _TERMINAL_EXIT_CODES),
    ]
