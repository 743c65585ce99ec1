"""What one reconcile does for a ModelServer: the set, its children, what is told of it."""

import hashlib
from collections.abc import Iterator

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.desired import DesiredSet
from nanodex.api.keys import canonical_json
from nanodex.api.status import BaseModelStatus, ModelServerStatus
from nanodex_operator.manifests.engine_pod import selector
from nanodex_operator.manifests.model_server import build_children, server_url
from nanodex_operator.servers.desired_set import Failures, choose, number
from nanodex_operator.servers.only_replica import is_only_replica
from nanodex_operator.servers.reporting import conditions, events, fault_of, served_adapters
from nanodex_operator.servers.snapshot import ServerPlan, ServerSnapshot
from nanodex_operator.snapshot import PodState

# While something is on its way the agents are asked again soon: a public name moves when they all
# have it.
_SOON_SECONDS = 2.0
_STEADY_SECONDS = 30.0


def plan_server(snapshot: ServerSnapshot) -> ServerPlan:
    """Return what is to be done; doing it and planning again does nothing more."""
    status = snapshot.status
    if snapshot.deleting:
        # What it owns goes with it.
        return ServerPlan(
            children=(), notify=(), set_generation=status.set_generation, status=status
        )
    base_model = _base_model(snapshot)
    published = snapshot.published.desired if snapshot.published else None
    deployment = snapshot.deployment
    ready = deployment.ready_replicas if deployment else 0
    chosen = choose(
        snapshot.experts,
        server=snapshot.server.metadata.name,
        capacity=snapshot.server.spec.adapters.capacity,
        published=published,
        replicas=snapshot.replicas,
        ready_replicas=ready,
        base_model_revision=base_model.revision,
    )
    desired = number(chosen.desired, published=published, status=status)
    fault = fault_of(snapshot)
    after = _status(snapshot, desired, left_out=chosen.left_out, base_model=base_model, ready=ready)
    return ServerPlan(
        children=()
        if fault is not None
        else build_children(
            server=snapshot.server,
            uid=snapshot.uid,
            desired=desired,
            replaces=snapshot.published.resource_version if snapshot.published else "",
            only_replica=is_only_replica(snapshot),
            settings=snapshot.settings,
        ),
        notify=tuple(_behind(snapshot, desired)),
        set_generation=desired.generation,
        status=after,
        events=events(status, after),
        again_after_seconds=_again_after(after, desired=desired, snapshot=snapshot),
    )


def _status(
    snapshot: ServerSnapshot,
    desired: DesiredSet,
    *,
    left_out: Failures,
    base_model: BaseModelStatus,
    ready: int,
) -> ModelServerStatus:
    labels = selector(snapshot.server)
    status = ModelServerStatus(
        observed_generation=snapshot.generation,
        replicas=snapshot.deployment.replicas if snapshot.deployment else 0,
        ready_replicas=ready,
        selector=",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        set_generation=desired.generation,
        set_hash=desired.content_hash,
        adapters=served_adapters(
            desired, replicas=snapshot.replicas, ready=ready, left_out=left_out
        ),
        url=server_url(snapshot.server, settings=snapshot.settings),
        base_model=base_model,
    )
    return status.model_copy(update={"conditions": conditions(status, snapshot)})


def _base_model(snapshot: ServerSnapshot) -> BaseModelStatus:
    """The revision that every replica serves: the spec's, else what the first agent found."""
    ref, known = snapshot.server.spec.base_model, snapshot.status.base_model
    key = _spec_key(ref)
    if ref.revision:
        return BaseModelStatus(revision=ref.revision, spec_key=key)
    if known.revision and known.spec_key == key:
        return known
    # Pods of an earlier spec may still be there; those that disagree are pinned to neither.
    found = {one.base_model_revision for one in snapshot.replicas if one.base_model == ref.uri}
    revision = found.pop() if len(found) == 1 else ""
    return BaseModelStatus(revision=revision, spec_key=key if revision else "")


def _spec_key(ref: BaseModelRef) -> str:
    named = {"uri": ref.uri, "revision": ref.revision}
    return hashlib.sha256(canonical_json(named)).hexdigest()


def _behind(snapshot: ServerSnapshot, desired: DesiredSet) -> Iterator[str]:
    """Yield the running Pods whose agents have not seen the set."""
    seen = {one.pod: one.set_generation for one in snapshot.replicas}
    for pod in snapshot.pods:
        behind = seen.get(pod.name, 0) < desired.generation
        if pod.state is PodState.RUNNING and behind:
            yield pod.name


def _again_after(
    status: ModelServerStatus, *, desired: DesiredSet, snapshot: ServerSnapshot
) -> float:
    whole = f"{status.ready_replicas}/{status.ready_replicas}"
    coming = any(one.loaded != whole and not one.failure for one in status.adapters)
    held = any(True for _ in _behind(snapshot, desired))
    starting = status.ready_replicas < snapshot.server.spec.replicas
    return _SOON_SECONDS if coming or held or starting else _STEADY_SECONDS
