"""Which ModelServer an expert is bound to; asked before GPU time is spent on training for it."""

from dataclasses import dataclass

from nanodex.api.code_expert import CodeExpert
from nanodex.api.reasons import Reason
from nanodex.api.status import AdapterStatus, Failure, ServingStatus
from nanodex_operator.plan.failures import failure
from nanodex_operator.snapshot import ObservedServer, Snapshot


@dataclass(frozen=True)
class Binding:
    """The server that the present spec leads to, or why there is none."""

    server: ObservedServer | None = None
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """Name of the server; empty where there is none."""
        return self.server.server.metadata.name if self.server else ""


def bind(snapshot: Snapshot) -> Binding:
    """Return the server for the adapter that the spec describes."""
    serving = snapshot.expert.spec.serving
    if not serving.enabled:
        return Binding()
    found = (
        _named(snapshot, serving.server_ref.name) if serving.server_ref.name else _only(snapshot)
    )
    if found.server is None:
        return found
    limits = found.server.server.spec.adapters
    rank = snapshot.expert.spec.training.lora.r
    if rank > limits.max_rank:
        return Binding(
            failure=failure(
                Reason.RANK_TOO_HIGH,
                f"training.lora.r is {rank}; {found.name} serves at most {limits.max_rank}",
            )
        )
    if not _has_room(snapshot, found.server):
        return Binding(
            failure=failure(
                Reason.SERVER_AT_CAPACITY,
                f"{found.name} has room for {limits.capacity} experts and is full",
            )
        )
    return found


def record(snapshot: Snapshot, binding: Binding, *, active: AdapterStatus | None) -> ServingStatus:
    """Return where the active adapter answers, and where it or its successor is to answer.

    The active adapter stays with its server until the successor is loaded on the next one, for
    instance after a change of the base model. A namespace that is no longer admitted loses it.
    """
    before = snapshot.status.serving
    if not snapshot.expert.spec.serving.enabled:
        return ServingStatus()
    server, next_server = before.server, ""
    homeless = not server or _refused_or_gone(snapshot, server, binding)
    if active is None or (homeless and suits(active, snapshot.expert)):
        server = binding.name
    elif homeless:
        server, next_server = "", binding.name
    elif binding.name != server:
        next_server = binding.name
    return before.model_copy(update={"server": server, "next_server": next_server})


def suits(adapter: AdapterStatus, expert: CodeExpert) -> bool:
    """Tell whether `adapter` belongs to the base model that `expert` wants now."""
    return adapter.base_model == expert.spec.base_model.uri


def server_of(snapshot: Snapshot, name: str) -> ObservedServer | None:
    """Return the server `name`."""
    return next((one for one in snapshot.servers if one.server.metadata.name == name), None)


def _refused_or_gone(snapshot: Snapshot, name: str, binding: Binding) -> bool:
    server = server_of(snapshot, name)
    if server is None:
        # Perhaps it is only not seen; without another one the name costs nothing.
        return binding.server is not None
    return not server.admits


def _named(snapshot: Snapshot, name: str) -> Binding:
    server = server_of(snapshot, name)
    if server is None:
        return _none(f"there is no ModelServer {name}")
    if not _fits(snapshot, server):
        return _none(
            f"ModelServer {name} serves {server.server.spec.base_model.uri}, "
            f"not {snapshot.expert.spec.base_model.uri}"
        )
    if not server.admits:
        return _none(
            f"ModelServer {name} does not admit the namespace {snapshot.expert.metadata.namespace}"
        )
    return Binding(server=server)


def _only(snapshot: Snapshot) -> Binding:
    fitting = [server for server in snapshot.servers if _fits(snapshot, server)]
    admitting = [server for server in fitting if server.admits]
    serving = snapshot.status.serving
    # A second server that fits must not take away the binding to the first.
    for name in (serving.next_server, serving.server):
        for server in admitting:
            if server.server.metadata.name == name:
                return Binding(server=server)
    if len(admitting) == 1:
        return Binding(server=admitting[0])
    uri = snapshot.expert.spec.base_model.uri
    if admitting:
        names = ", ".join(sorted(server.server.metadata.name for server in admitting))
        return _none(
            f"several ModelServers serve {uri}: {names}",
            hint="Name one of them in serving.serverRef.",
        )
    if fitting:
        return _none(
            f"no ModelServer for {uri} admits the namespace {snapshot.expert.metadata.namespace}",
            hint="Ask for allowedNamespaces of the ModelServer.",
        )
    return _none(f"no ModelServer serves {uri}")


def _none(message: str, *, hint: str = "") -> Binding:
    return Binding(failure=failure(Reason.NO_SERVER, message, hint=hint))


def _fits(snapshot: Snapshot, server: ObservedServer) -> bool:
    wanted, offered = snapshot.expert.spec.base_model, server.server.spec.base_model
    return wanted.uri == offered.uri and (
        not wanted.revision or not offered.revision or wanted.revision == offered.revision
    )


def _has_room(snapshot: Snapshot, server: ObservedServer) -> bool:
    me = snapshot.expert.model_name
    capacity = server.server.spec.adapters.capacity
    if me not in server.bound:
        return len(server.bound) < capacity
    # Two that took the last place at once both see themselves bound: the names decide, and nobody
    # who is served already has to go.
    return snapshot.status.active is not None or me in sorted(server.bound)[:capacity]
