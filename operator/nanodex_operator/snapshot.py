"""The world as one reconcile sees it, and what it may decide to do: values, no behaviour.

A Snapshot may be stale: caches lag behind the API server. Everything that follows from it is
therefore idempotent: names are deterministic, a create that finds the object is no error, and the
status is written only over the version that was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from nanodex.api.code_expert import CodeExpert
from nanodex.api.manifest import Manifest, TerminationMessage
from nanodex.api.model_server import ModelServer
from nanodex.api.progress import ProgressReport
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus, ModelServerStatus
from nanodex_operator.settings import Settings


class JobOutcome(StrEnum):
    """What the Job's conditions say; never its counters."""

    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class PodState(StrEnum):
    """What a Pod is doing, in the terms of a status message."""

    PENDING = "Pending"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_ERROR = "ImagePullError"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    EVICTED = "Evicted"
    OOM_KILLED = "OOMKilled"


@dataclass(frozen=True)
class ObservedPod:
    """A Pod of a Job.

    Attributes:
        name: its name.
        state: what it is doing.
        started_at: when its container started; None before.
        finished_at: when its container ended; None before.
        exit_code: of its container; None before it ended.
        last_word: the termination message; None where there is none that can be read.
        message: the scheduler's or the kubelet's own words.
    """

    name: str
    state: PodState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    last_word: TerminationMessage | None = None
    message: str = ""


@dataclass(frozen=True)
class ObservedJob:
    """A Job that belongs to the CodeExpert, by controller reference and label.

    Attributes:
        name: its name.
        task: what it does.
        key: key of the run (64 hexadecimal digits), from its annotation.
        retry_nonce: spec.retryNonce when it was made, from its annotation.
        outcome: what its conditions say.
        reason: reason of the Failed condition, for instance BackoffLimitExceeded.
        message: message of that condition.
        deleting: whether it has a deletion timestamp.
        started_at: status.startTime; the Job controller sets it anew when a Job is resumed.
        finished_at: when it completed or failed.
        queue_name: Kueue's label; with it, spec.suspend belongs to Kueue.
        pods: its Pods, oldest first; gone ones are missing.
    """

    name: str
    task: Task
    key: str
    retry_nonce: str = ""
    outcome: JobOutcome = JobOutcome.ACTIVE
    reason: str = ""
    message: str = ""
    deleting: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    queue_name: str = ""
    pods: tuple[ObservedPod, ...] = ()


@dataclass(frozen=True)
class ReplicaReport:
    """What the agent of one ready replica says.

    Attributes:
        pod: name of its Pod.
        set_generation: number of the desired set that it has converged to.
        loaded: digests of the adapters that the engine holds, verified by the agent.
        names: experts `<namespace>/<name>` that answer to their bare name with a version that was
            proved; None: the agent does not say.
        refused: digest of each adapter that the agent refused, with reason and message.
        base_model: address of the base model that its engine serves.
        base_model_revision: which one that is; empty: it does not know.
    """

    pod: str
    set_generation: int
    loaded: frozenset[str] = frozenset()
    names: frozenset[str] | None = None
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    base_model: str = ""
    base_model_revision: str = ""


@dataclass(frozen=True)
class ObservedServer:
    """A ModelServer as a CodeExpert's reconcile sees it.

    Attributes:
        server: the resource.
        status: its status.
        admits: whether the CodeExpert's namespace is among its allowed namespaces.
        bound: names `<namespace>/<name>` of the CodeExperts that are bound to it.
        ready_replicas: how many Pods are ready.
        replicas: what the agents say; one for each ready replica that answered.
        url: base address of the OpenAI API.
    """

    server: ModelServer
    status: ModelServerStatus
    admits: bool
    bound: frozenset[str] = frozenset()
    ready_replicas: int = 0
    replicas: tuple[ReplicaReport, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that the plan for one CodeExpert depends on.

    Attributes:
        now: the clock of this reconcile, UTC.
        expert: the resource.
        uid: metadata.uid.
        generation: metadata.generation.
        resource_version: metadata.resourceVersion that `status` was read at.
        deleting: whether it has a deletion timestamp.
        status: as it is in the API server.
        settings: the operator's.
        jobs: all Jobs of the CodeExpert.
        artifacts: manifests that are known to be committed, by key; at least those that the walk
            over the stages reaches with what the status knows.
        progress: last report of the training run, by key.
        servers: all ModelServers.
        refused: the API server's words about a Job that it did not accept at the last attempt
            (a quota, PodSecurity, an invalid Pod), by name of the Job.
    """

    now: datetime
    expert: CodeExpert
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    status: CodeExpertStatus
    settings: Settings
    jobs: tuple[ObservedJob, ...] = ()
    artifacts: Mapping[str, Manifest] = field(default_factory=dict)
    progress: Mapping[str, ProgressReport] = field(default_factory=dict)
    servers: tuple[ObservedServer, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CreateJob:
    """Create a Job; that it is there already is no error."""

    name: str
    task: Task
    key: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job and, in the background, its Pods."""

    name: str


@dataclass(frozen=True)
class SuspendJob:
    """Set spec.suspend of a Job: its Pods get SIGTERM and save a checkpoint, or may start."""

    name: str
    suspend: bool


Action = CreateJob | DeleteJob | SuspendJob


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about a transition."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What one reconcile does.

    Order of apply: the actions, the status, the events; with `status_first` the status before the
    actions.

    Attributes:
        actions: what is done, in order.
        status: what the status becomes; equal to the snapshot's where nothing changes.
        events: said once, after the status was written.
        again_after_seconds: when to look again even if nothing happens; None: on the next event.
        status_first: write the status before the actions; every plan with an action says so. The
            write over the version that was read is what keeps a stale snapshot from acting: if it
            conflicts, the actions are dropped. Where the status does not change, a read of the
            resource from the API server must show the snapshot's resourceVersion instead. It also
            keeps a failure that is recorded nowhere else from getting lost with its Job.
    """

    actions: tuple[Action, ...]
    status: CodeExpertStatus
    events: tuple[Event, ...] = ()
    again_after_seconds: float | None = None
    status_first: bool = False
