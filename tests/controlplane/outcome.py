"""What a test lets happen to a Pod, and how a kubelet would write that down; pure.

The shapes are those of the kubelet and the scheduler of Kubernetes 1.36: container states and
reasons, the Pod's own phase and reason, and its conditions.
"""

import datetime
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.controlplane.api import Object

OOM_KILLED = "OOMKilled"
EVICTED = "Evicted"
UNSCHEDULABLE = "Unschedulable"
# Reasons for a container that waits, in a Pod that stays Pending.
WAITING = frozenset(
    {
        "ContainerCreating",
        "CreateContainerConfigError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
_KILLED = 137
# The kubelet keeps no more of a termination message.
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a Pod ends, or where it is stuck. By default it succeeds."""

    # Of the first container; left out, it is what goes with the reason.
    exit_code: int | None = None
    # The first container's termination message; or what the scheduler or the image pull says.
    message: str = ""
    # OOMKilled, Evicted, Unschedulable, one of WAITING; else the first container's own reason.
    reason: str = ""
    # How long it runs.
    seconds: float = 0.0
    # It keeps running, or stays stuck, until this is set; what was stuck then runs and succeeds.
    until: threading.Event | None = None
    # Is called with the Pod while it runs; what it returns is the termination message.
    work: Callable[[Object], str | None] | None = None
    # When it is told to stop, by SIGTERM.
    exit_code_when_stopped: int = 143
    # The Pod's address; one that stays the same for each Pod otherwise.
    address: str = ""

    @property
    def stuck(self) -> bool:
        """Whether its containers do not start."""
        return self.reason == UNSCHEDULABLE or self.reason in WAITING

    @property
    def code(self) -> int:
        """The exit code of the first container."""
        if self.exit_code is not None:
            return self.exit_code
        if self.reason in (OOM_KILLED, EVICTED):
            return _KILLED
        return 1 if self.reason and not self.stuck else 0


def unschedulable(pod: Object, *, message: str, now: str) -> Object:
    """Return the status of a Pod that fits on no node."""
    condition = _condition(
        "PodScheduled", False, now=now, reason=UNSCHEDULABLE, message=message or "0/1 nodes fit"
    )
    return {"phase": "Pending", "conditions": _merged(pod, [condition])}


def waiting(pod: Object, *, reason: str, message: str, now: str) -> Object:
    """Return the status of a Pod on a node whose first container cannot start."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "phase": "Pending",
        "startTime": now,
        "conditions": _merged(
            pod,
            [
                _condition("Initialized", True, now=now),
                _condition("ContainersReady", False, now=now, reason="ContainersNotReady"),
                _condition("Ready", False, now=now, reason="ContainersNotReady"),
            ],
        ),
        "containerStatuses": _containers(pod, first=state, others=state, ready=False),
    }


def running(pod: Object, *, address: str, now: str) -> Object:
    """Return the status of a Pod whose containers run and are ready."""
    state = {"running": {"startedAt": now}}
    done = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}}
    return {
        "phase": "Running",
        "startTime": pod.get("status", {}).get("startTime") or now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": _merged(
            pod,
            [
                _condition(name, True, now=now)
                for name in ("Initialized", "ContainersReady", "Ready")
            ],
        ),
        "containerStatuses": _containers(pod, first=state, others=state, ready=True),
        "initContainerStatuses": _containers(
            pod, first=done, others=done, sidecars=state, ready=True, kind="initContainers"
        ),
    }


def ended(pod: Object, outcome: Outcome, *, now: str) -> Object:
    """Return the status of a Pod whose containers have ended."""
    code = outcome.code
    begun = pod.get("status", {}).get("startTime") or now
    reason = {0: "Completed"}.get(code, "Error")
    own = outcome.reason if outcome.reason and outcome.reason != EVICTED else reason
    message = outcome.message.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
    first = _terminated(code, reason=own, message=message, begun=begun, now=now)
    others = _terminated(0, reason="Completed", message="", begun=begun, now=now)
    completed = "PodCompleted" if code == 0 else "PodFailed"
    conditions = [
        _condition("Initialized", True, now=now),
        _condition("ContainersReady", False, now=now, reason=completed),
        _condition("Ready", False, now=now, reason=completed),
    ]
    status: Object = {"phase": "Succeeded" if code == 0 else "Failed"}
    if outcome.reason == EVICTED:
        low = outcome.message or "The node was low on resource: memory."
        status |= {"reason": EVICTED, "message": low}
        conditions.append(
            _condition(
                "DisruptionTarget", True, now=now, reason="TerminationByKubelet", message=low
            )
        )
    return status | {
        "startTime": begun,
        "conditions": _merged(pod, conditions),
        "containerStatuses": _containers(pod, first=first, others=others, ready=False),
        "initContainerStatuses": _containers(
            pod, first=others, others=others, ready=False, kind="initContainers"
        ),
    }


def timestamp(now: datetime.datetime) -> str:
    """Return a point in time the way Kubernetes writes it."""
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _terminated(code: int, *, reason: str, message: str, begun: str, now: str) -> Object:
    state: Object = {"exitCode": code, "reason": reason, "startedAt": begun, "finishedAt": now}
    return {"terminated": state | ({"message": message} if message else {})}


def _containers(
    pod: Object,
    *,
    first: Object,
    others: Object,
    ready: bool,
    sidecars: Object | None = None,
    kind: str = "containers",
) -> list[Object]:
    """Return the status of each container: the first does the work, the others go along."""
    statuses = []
    for place, container in enumerate(pod["spec"].get(kind, [])):
        state = first if place == 0 else others
        if sidecars is not None and container.get("restartPolicy") == "Always":
            state = sidecars
        statuses.append(
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "started": "running" in state,
                "restartCount": 0,
                "state": state,
            }
        )
    return statuses


def _condition(name: str, holds: bool, *, now: str, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": name, "status": str(holds), "lastTransitionTime": now}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _merged(pod: Object, conditions: Iterable[Object]) -> list[Object]:
    """Return the conditions that a Pod has, with some of them set: others write there, too."""
    merged = {each["type"]: each for each in pod.get("status", {}).get("conditions", [])}
    return list((merged | {each["type"]: each for each in conditions}).values())
