"""The kinds of objects that are watched, and which CodeExperts each of them wakes."""

import json
import logging
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from nanodex.api.model_server import ModelServer
from nanodex.api.status import ModelServerStatus
from nanodex_operator.cache import Cache, Entry
from nanodex_operator.documents import SeenExpert, see_expert
from nanodex_operator.manifests.metadata import EXPERT_LABEL
from nanodex_operator.readings import Object, controller_of, plain, read_job, read_pod
from nanodex_operator.snapshot import ObservedJob, ObservedPod, ReplicaReport

_log = logging.getLogger(__name__)


class ExpertKey(NamedTuple):
    """What the queue knows a CodeExpert by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class SeenServer:
    """A ModelServer as a watch showed it."""

    server: ModelServer
    status: ModelServerStatus
    generation: int
    deleting: bool


class BoundTo(NamedTuple):
    """Tag of a CodeExpert: the ModelServer that serves it or is to serve it."""

    server: str


class Refers(NamedTuple):
    """Tag of a CodeExpert: a run whose artifact its status names."""

    namespace: str
    key: str


class Watched:
    """What the watches have shown."""

    def __init__(self) -> None:
        self.experts: Cache[SeenExpert] = Cache(see_expert, tag=_expert_tags)
        self.jobs: Cache[ObservedJob] = Cache(read_job, tag=_owner)
        self.pods: Cache[ObservedPod] = Cache(read_pod, tag=_owner)
        self.servers: Cache[SeenServer] = Cache(_read_server)
        self.namespaces: Cache[dict[str, str]] = Cache(_read_labels)
        # What the agents of each ModelServer said last, by its name.
        self.reports: dict[str, tuple[ReplicaReport, ...]] = {}

    def woken_by_server(
        self, before: Entry[SeenServer] | None, after: Entry[SeenServer] | None
    ) -> Iterator[ExpertKey]:
        """Yield whom a change of a ModelServer may matter to."""
        entry = after or before
        if entry is None:
            return
        same_spec = (
            before is not None
            and after is not None
            and before.value.server.spec == after.value.server.spec
        )
        # Whoever looks for a server reads all specs; a status is for those that are bound alone.
        waking = self.experts.tagged(BoundTo(entry.name)) if same_spec else self.experts.all()
        yield from (ExpertKey(one.namespace, one.name) for one in waking)

    def servers_of(self, entry: Entry[SeenExpert] | None) -> Iterator[str]:
        """Yield the names of the ModelServers that a CodeExpert says it is bound to."""
        for tag in entry.tags if entry is not None else ():
            if isinstance(tag, BoundTo):
                yield tag.server

    def woken_by_namespace(self, name: str) -> Iterator[ExpertKey]:
        """Yield whom a change of a namespace's labels may matter to."""
        for one in self.experts.all():
            if one.namespace == name:
                yield ExpertKey(one.namespace, one.name)

    def by_phase(self) -> dict[str, int]:
        """Return how many CodeExperts are in each phase; safe from any thread."""
        counts: dict[str, int] = {}
        for entry in self.experts.all():
            counts[entry.value.phase] = counts.get(entry.value.phase, 0) + 1
        return counts


def expert_of(thing: Object) -> ExpertKey | None:
    """Return the CodeExpert that a Job or Pod says it belongs to."""
    metadata = thing["metadata"]
    name = (metadata.get("labels") or {}).get(EXPERT_LABEL)
    return ExpertKey(metadata["namespace"], name) if name else None


def _owner(thing: Object) -> Iterable[Hashable]:
    return (controller_of(thing),)


def _expert_tags(thing: Object) -> Iterator[Hashable]:
    """Yield the tags of a CodeExpert, from a status that may hold anything."""
    status = thing.get("status")
    if not isinstance(status, dict):
        return
    serving = status.get("serving")
    for name in ("server", "nextServer"):
        if isinstance(serving, dict) and isinstance(serving.get(name), str):
            yield BoundTo(serving[name])
    named = [status.get("active"), status.get("candidate")]
    for several in (status.get("stages"), status.get("history")):
        named += several if isinstance(several, list) else []
    for one in named:
        if isinstance(one, dict) and isinstance(one.get("key"), str):
            yield Refers(thing["metadata"]["namespace"], one["key"])


def _read_server(thing: Object) -> SeenServer | None:
    document = {"metadata": {"name": thing["metadata"]["name"]}, "spec": thing.get("spec")}
    try:
        server = ModelServer.model_validate_json(json.dumps(document))
        status = ModelServerStatus.model_validate_json(json.dumps(thing.get("status") or {}))
    except ValidationError as error:
        _log.warning("ModelServer %s is not used: %s", thing["metadata"]["name"], plain(str(error)))
        return None
    metadata = thing["metadata"]
    return SeenServer(
        server=server,
        status=status,
        generation=int(metadata.get("generation", 0)),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def _read_labels(thing: Object) -> dict[str, str]:
    return dict(thing["metadata"].get("labels") or {})
