"""The desired set of a ModelServer: a pure function of the CodeExperts that are bound to it.

Sorted, canonical, numbered. A public name moves to another version only when every ready replica
has proved it; that is judged here once more, because the CodeExpert's own reconcile may have seen
other replicas.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.reasons import Reason
from nanodex.api.status import AdapterStatus, CodeExpertStatus, ModelServerStatus
from nanodex_operator.plan import desired_adapters
from nanodex_operator.servers.snapshot import BoundExpert
from nanodex_operator.snapshot import ReplicaReport

# A ConfigMap holds 1 MiB. One version takes 240 to 400 bytes: some 2600 of them fit.
MAX_BYTES = 900 << 10

Failures = Mapping[tuple[str, str], tuple[Reason, str]]


@dataclass(frozen=True)
class Chosen:
    """What shall be served.

    Attributes:
        desired: without a number yet.
        left_out: versions that are wanted and not in it, by name and digest, with the reason.
    """

    desired: DesiredSet
    left_out: Failures = field(default_factory=dict)


def choose(
    experts: Iterable[BoundExpert],
    *,
    server: str,
    capacity: int,
    published: DesiredSet | None,
    replicas: Sequence[ReplicaReport],
    ready_replicas: int,
    base_model_revision: str = "",
    max_bytes: int = MAX_BYTES,
) -> Chosen:
    """Return the set for `server`.

    Args:
        experts: whoever is bound, in any order.
        server: name of the ModelServer.
        capacity: how many experts may be bound; those that are served already come first.
        published: the set that the agents have now; None for none.
        replicas: what the agents of the ready replicas say.
        ready_replicas: how many are ready.
        base_model_revision: what each replica serves; empty: not known yet.
        max_bytes: how long the set may be as JSON.
    """
    before = {one.name: one for one in published.experts if one.active} if published else {}
    served = {one.name for one in published.experts} if published else set()
    left_out: dict[tuple[str, str], tuple[Reason, str]] = {}
    ranked = sorted(
        (one for one in experts if one.admitted),
        key=lambda one: (one.expert.model_name not in served, one.expert.model_name),
    )
    chosen: list[ServedExpert] = []
    seated = 0
    for bound in ranked:
        versions = _versions(bound, server=server, left_out=left_out)
        if not versions:
            continue
        seated += 1
        if seated > capacity:
            message = f"the server takes {capacity} experts"
            left_out |= {
                (one.name, one.digest): (Reason.SERVER_AT_CAPACITY, message) for one in versions
            }
            continue
        chosen += _with_safe_alias(
            versions,
            answering=before.get(bound.expert.model_name),
            replicas=replicas,
            ready_replicas=ready_replicas,
        )
    chosen.sort(key=lambda one: (one.name, not one.active, one.digest))
    whole = DesiredSet(base_model_revision=base_model_revision, experts=tuple(chosen))
    return Chosen(desired=_within(whole, max_bytes=max_bytes, left_out=left_out), left_out=left_out)


def number(
    desired: DesiredSet, *, published: DesiredSet | None, status: ModelServerStatus
) -> DesiredSet:
    """Return `desired` with its number: the one it has already, or one above all before it."""
    newest = max(published.generation if published else 0, status.set_generation)
    content = desired.content_hash
    is_published = (
        published is not None
        and published.generation == newest
        and published.content_hash == content
    )
    is_written = status.set_generation == newest and status.set_hash == content
    same = is_published or (published is None and is_written)
    return desired.model_copy(update={"generation": newest if same and newest else newest + 1})


def _versions(
    bound: BoundExpert,
    *,
    server: str,
    left_out: dict[tuple[str, str], tuple[Reason, str]],
) -> list[ServedExpert]:
    """The versions that one expert wants, the one that answers to its name marked."""
    wanted = desired_adapters(bound.status, bound.expert, server=server)
    known = {adapter.digest: adapter for adapter in _adapters(bound.status)}
    versions: dict[str, ServedExpert] = {}
    for digest in wanted.digests:
        adapter = known.get(digest)
        try:
            if adapter is None:
                raise ValueError("its status names no key")
            version = ServedExpert(
                name=bound.expert.model_name,
                digest=digest,
                key=adapter.key,
                rank=adapter.rank,
                commit=adapter.commit,
                active=digest == wanted.alias,
            )
        except (ValidationError, ValueError) as error:
            reason = (Reason.LOAD_REJECTED, f"it cannot be asked for: {_first_line(error)}")
            left_out[bound.expert.model_name, digest] = reason
            continue
        # The engine knows twelve digits; another version with the same must not take its place.
        if version.engine_name in versions and not version.active:
            reason = (Reason.LOAD_REJECTED, "another version has the same first twelve digits")
            left_out[version.name, digest] = reason
        else:
            versions[version.engine_name] = version
    return list(versions.values())


def _adapters(status: CodeExpertStatus) -> Iterator[AdapterStatus]:
    for adapter in (*reversed(status.history), status.candidate, status.active):
        if adapter is not None:
            yield adapter


def _with_safe_alias(
    versions: list[ServedExpert],
    *,
    answering: ServedExpert | None,
    replicas: Sequence[ReplicaReport],
    ready_replicas: int,
) -> list[ServedExpert]:
    """Keep the version that answers now, while a ready replica lacks the one to come."""
    coming = next((one for one in versions if one.active), None)
    if coming is None or answering is None or answering.digest == coming.digest:
        return versions
    if _held_everywhere(coming.digest, replicas=replicas, ready_replicas=ready_replicas):
        return versions
    if not any(answering.digest in replica.loaded for replica in replicas):
        # Nobody answers with it: there is nothing to keep.
        return versions
    rest = [
        one.model_copy(update={"active": False})
        for one in versions
        if one.engine_name != answering.engine_name
    ]
    return [answering, *rest]


def _held_everywhere(
    digest: str, *, replicas: Sequence[ReplicaReport], ready_replicas: int
) -> bool:
    return len(replicas) >= ready_replicas and all(digest in replica.loaded for replica in replicas)


def _within(
    desired: DesiredSet,
    *,
    max_bytes: int,
    left_out: dict[tuple[str, str], tuple[Reason, str]],
) -> DesiredSet:
    """Drop what does not fit into a ConfigMap: versions without a name first, the last first."""
    # The number is not known yet; it gets room for thirteen digits.
    size = len(desired.model_copy(update={"generation": 10**12}).encode())
    dropped: set[ServedExpert] = set()
    for one in sorted(reversed(desired.experts), key=lambda one: one.active):
        if size <= max_bytes:
            break
        size -= len(one.model_dump_json(exclude_defaults=True).encode()) + 1
        dropped.add(one)
        left_out[one.name, one.digest] = (
            Reason.SERVER_AT_CAPACITY,
            "the desired set would not fit into a ConfigMap",
        )
    kept = tuple(one for one in desired.experts if one not in dropped)
    return desired.model_copy(update={"experts": kept})


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{first['msg']} at {'.'.join(str(part) for part in first['loc'])}"
    return str(error)
