"""What the watches have shown, by name and by whom it belongs to.

kopf's own indices are filled by watch events alone: what is deleted while a watch is down is never
reported, neither then nor after the next listing. This cache can be compared with a list of what
there is. It also takes in what our own writes return, so that the next reconcile sees them.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nanodex_operator.readings import Object

_REMEMBERED_DELETIONS = 10_000

Value = TypeVar("Value")


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """One object.

    Attributes:
        namespace: metadata.namespace; empty for what has none.
        name: metadata.name.
        uid: metadata.uid.
        version: metadata.resourceVersion.
        created: metadata.creationTimestamp.
        value: what is kept of it.
        tags: what it is found by.
    """

    namespace: str
    name: str
    uid: str
    version: str
    created: str
    value: Value
    tags: frozenset[Hashable]


class Cache(Generic[Value]):
    """All objects of one kind.

    Args:
        read: returns what is kept of an object; None for one that is none of ours.
        tag: returns what an object is to be found by.
    """

    def __init__(
        self,
        read: Callable[[Object], Value | None],
        *,
        tag: Callable[[Object], Iterable[Hashable]] = lambda thing: (),
    ) -> None:
        self._read = read
        self._tag = tag
        self._by_uid: dict[str, Entry[Value]] = {}
        self._by_name: dict[tuple[str, str], str] = {}
        self._by_tag: dict[Hashable, dict[str, Entry[Value]]] = {}
        # An answer to our own write may come after the watch reported the deletion.
        self._gone: OrderedDict[str, None] = OrderedDict()

    def put(self, thing: Object) -> bool:
        """Take in an object; return whether that is news to a reconcile."""
        metadata = thing["metadata"]
        uid, version = metadata["uid"], metadata["resourceVersion"]
        before = self._by_uid.get(uid)
        if uid in self._gone or (before is not None and _is_older(version, before.version)):
            return False
        value = self._read(thing)
        if value is None:
            return self._forget(uid) is not None
        entry = Entry(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=uid,
            version=version,
            created=metadata.get("creationTimestamp", ""),
            value=value,
            tags=frozenset(self._tag(thing)),
        )
        self._forget(uid)
        self._by_uid[uid] = entry
        self._by_name[entry.namespace, entry.name] = uid
        for tag in entry.tags:
            self._by_tag.setdefault(tag, {})[uid] = entry
        return before is None or before.value != value

    def drop(self, uid: str) -> Entry[Value] | None:
        """Forget an object that is gone for ever; return what was known of it."""
        self._gone[uid] = None
        while len(self._gone) > _REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)
        return self._forget(uid)

    def keep_only(self, listed: Collection[str], *, known: Collection[str]) -> list[Entry[Value]]:
        """Forget what a listing does not show any more, and return it.

        Args:
            listed: uids of all objects that there are.
            known: uids that were here before the listing began; what came since stays.
        """
        lost = [uid for uid in known if uid not in listed and uid in self._by_uid]
        return [entry for uid in lost if (entry := self.drop(uid)) is not None]

    def named(self, name: str, *, namespace: str = "") -> Entry[Value] | None:
        """Return the object of a name."""
        uid = self._by_name.get((namespace, name))
        return self._by_uid.get(uid) if uid is not None else None

    def get(self, uid: str) -> Entry[Value] | None:
        """Return the object of a uid."""
        return self._by_uid.get(uid)

    def tagged(self, tag: Hashable) -> list[Entry[Value]]:
        """Return the objects with a tag, oldest first."""
        found = self._by_tag.get(tag, {}).values()
        return sorted(found, key=lambda entry: (entry.created, entry.name))

    def all(self) -> list[Entry[Value]]:
        """Return all objects; safe from any thread."""
        return list(self._by_uid.values())

    def uids(self) -> frozenset[str]:
        """Return the uids of all objects."""
        return frozenset(self._by_uid)

    def _forget(self, uid: str) -> Entry[Value] | None:
        entry = self._by_uid.pop(uid, None)
        if entry is None:
            return None
        # An object of the same name may have come already.
        if self._by_name.get((entry.namespace, entry.name)) == uid:
            del self._by_name[entry.namespace, entry.name]
        for tag in entry.tags:
            tagged = self._by_tag[tag]
            del tagged[uid]
            if not tagged:
                del self._by_tag[tag]
        return entry


def _is_older(version: str, known: str) -> bool:
    """Tell whether an object is an earlier one; equal versions are no news either.

    Versions of one resource are ordered numbers since Kubernetes 1.35 (KEP-5504), and were with
    etcd before; where they are not, what came last counts.
    """
    if version.isdecimal() and known.isdecimal():
        return int(version) <= int(known)
    return version == known
