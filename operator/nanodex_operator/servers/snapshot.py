"""The world as a ModelServer's reconcile sees it, and what it decides: values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nanodex.api.code_expert import CodeExpert
from nanodex.api.desired import DesiredSet
from nanodex.api.model_server import ModelServer
from nanodex.api.status import CodeExpertStatus, ModelServerStatus
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import Event, ObservedPod, ReplicaReport


@dataclass(frozen=True)
class BoundExpert:
    """A CodeExpert that says that it is served here, or is to be.

    Attributes:
        expert: the resource; one that is being deleted is left out of the snapshot.
        status: its status.
        admitted: whether its namespace is among the allowed ones.
    """

    expert: CodeExpert
    status: CodeExpertStatus
    admitted: bool = True


@dataclass(frozen=True)
class PublishedSet:
    """The desired set in the ConfigMap.

    Attributes:
        desired: what it holds.
        resource_version: metadata.resourceVersion of the ConfigMap.
    """

    desired: DesiredSet
    resource_version: str = ""


@dataclass(frozen=True)
class ObservedDeployment:
    """The Deployment of the server.

    Attributes:
        replicas: Pods that there are.
        ready_replicas: Pods that answer.
        updated_replicas: Pods of the newest template.
        template_hash: names that template, as it was applied; empty where it does not say.
        is_current: whether the numbers are of what was applied last.
        message: of the condition ReplicaFailure: a quota, PodSecurity; empty without one.
    """

    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    template_hash: str = ""
    is_current: bool = False
    message: str = ""


@dataclass(frozen=True)
class ServerSnapshot:
    """All that the plan for one ModelServer depends on.

    Attributes:
        now: the clock of this reconcile, UTC.
        server: the resource.
        uid: metadata.uid.
        generation: metadata.generation.
        deleting: whether it has a deletion timestamp.
        status: as it is in the API server.
        settings: the operator's.
        resource_version: metadata.resourceVersion that `status` was read at.
        experts: CodeExperts whose status names this server, in any order.
        published: the set in the ConfigMap; None where there is none that can be read.
        deployment: None where there is none.
        pods: its Pods.
        one_pod: whether one is all there is, and neither it nor its node is going.
        replicas: what the agents say; one for each ready Pod that answered.
    """

    now: datetime
    server: ModelServer
    uid: str
    generation: int
    deleting: bool
    status: ModelServerStatus
    settings: Settings
    resource_version: str = ""
    experts: tuple[BoundExpert, ...] = ()
    published: PublishedSet | None = None
    deployment: ObservedDeployment | None = None
    pods: tuple[ObservedPod, ...] = ()
    one_pod: bool = False
    replicas: tuple[ReplicaReport, ...] = ()


@dataclass(frozen=True)
class ServerPlan:
    """What one reconcile of a ModelServer does.

    Attributes:
        children: objects that are applied by server-side apply, in order. When the server is being
            deleted there are none: the garbage collector takes what it owns.
        notify: Pods that have not seen the newest set. A kubelet looks at a mounted ConfigMap once
            a minute, and at once when its Pod changes: they get the set's generation as the
            annotation SET_GENERATION_ANNOTATION.
        set_generation: number of the newest set.
        status: what the status becomes; equal to the snapshot's where nothing changes.
        events: said once, after the status was written.
        again_after_seconds: when to look again, and ask the agents again.
    """

    children: tuple[Mapping[str, Any], ...]
    notify: tuple[str, ...]
    set_generation: int
    status: ModelServerStatus
    events: tuple[Event, ...] = ()
    again_after_seconds: float = 30.0
