"""Reads what a ModelServer is made of into the snapshot's values; pure."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from nanodex_operator.manifests.metadata import SET_GENERATION_ANNOTATION, TEMPLATE_ANNOTATION
from nanodex_operator.manifests.model_server import read_desired_set
from nanodex_operator.readings import Object, plain, read_pod
from nanodex_operator.servers import ObservedDeployment, PublishedSet
from nanodex_operator.snapshot import ObservedPod

_log = logging.getLogger(__name__)


def read_deployment(deployment: Object) -> ObservedDeployment:
    """Return how far a Deployment is."""
    status: dict[str, Any] = deployment.get("status") or {}
    message = next(
        (
            plain(one.get("message"))
            for one in status.get("conditions") or ()
            if one.get("type") == "ReplicaFailure" and one.get("status") == "True"
        ),
        "",
    )
    return ObservedDeployment(
        replicas=_count(status.get("replicas")),
        ready_replicas=_count(status.get("readyReplicas")),
        updated_replicas=_count(status.get("updatedReplicas")),
        template_hash=(deployment["metadata"].get("annotations") or {}).get(
            TEMPLATE_ANNOTATION, ""
        ),
        is_current=_count(status.get("observedGeneration"))
        >= _count(deployment["metadata"].get("generation")),
        message=message,
    )


def read_published(config_map: Object) -> PublishedSet | None:
    """Return the set that agents mount; None where it cannot be read."""
    try:
        desired = read_desired_set(dict(config_map))
    except ValueError:
        _log.warning("the set in %s cannot be read and is made anew", config_map["metadata"])
        return None
    return PublishedSet(desired=desired, resource_version=config_map["metadata"]["resourceVersion"])


def read_engine_pods(pods: Iterable[Object]) -> tuple[ObservedPod, ...]:
    """Return what the Pods of a server are doing."""
    return tuple(read_pod(pod) for pod in pods)


def is_one(pods: Iterable[Object]) -> bool:
    """Tell whether there is one Pod that has not ended, and neither it nor its node is going.

    Of a node that is silent, Kubernetes says that the Pod is not ready, and no more: what it last
    said of the containers stays.
    """
    phases = ("Succeeded", "Failed")
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in phases]
    return (
        len(alive) == 1
        and not alive[0]["metadata"].get("deletionTimestamp")
        and (_is_true("Ready", alive[0]) or not _is_true("ContainersReady", alive[0]))
    )


def addresses(pods: Iterable[Object]) -> dict[str, str]:
    """Return the address of each ready Pod that is not about to end, by its name."""
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in pods
        if _is_ready(pod) and pod["status"].get("podIP")
    }


def behind(pods: Iterable[Object], *, names: Iterable[str], generation: int) -> Iterator[Object]:
    """Yield the Pods among `names` whose kubelet was not told of a set with this number."""
    wanted = set(names)
    for pod in pods:
        told = (pod["metadata"].get("annotations") or {}).get(SET_GENERATION_ANNOTATION)
        if pod["metadata"]["name"] in wanted and told != str(generation):
            yield pod


def _is_ready(pod: Object) -> bool:
    """Tell whether a Pod counts: its Deployment counts it as ready, too."""
    return not pod["metadata"].get("deletionTimestamp") and _is_true("Ready", pod)


def _is_true(condition: str, pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
