"""An API server in memory, as far as the operator's writes need one."""

import copy
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from nanodex_operator.kinds import Resource
from nanodex_operator.refusals import AlreadyExists, Conflict, NotFound

Object = Mapping[str, Any]


class MemoryCluster:
    """Keeps objects by kind, namespace and name; remembers what was asked."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.calls: list[tuple[str, str, str]] = []
        # Is called before each write; may raise, or change what is there.
        self.before_write: Callable[[str, Resource, str], None] = lambda verb, resource, name: None
        self._versions = itertools.count(100)

    def put(self, resource: Resource, thing: Object, *, namespace: str) -> dict[str, Any]:
        """Store an object as it is, with a version and a uid."""
        stored: dict[str, Any] = copy.deepcopy(dict(thing))
        metadata = stored["metadata"] = dict(stored["metadata"])
        metadata["namespace"] = namespace
        metadata["resourceVersion"] = str(next(self._versions))
        metadata.setdefault("uid", f"uid-{metadata['name']}-{metadata['resourceVersion']}")
        self.objects[resource.plural, namespace, metadata["name"]] = stored
        return copy.deepcopy(stored)

    def named(self, resource: Resource, name: str, *, namespace: str) -> dict[str, Any]:
        """Return what is stored."""
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise NotFound(f"no {name}", code=404)
        return copy.deepcopy(found)

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        self.calls.append(("get", resource.plural, name))
        return self.named(resource, name, namespace=namespace)

    async def create(self, resource: Resource, manifest: Object, *, namespace: str = "") -> Object:
        name = manifest["metadata"]["name"]
        self._write("create", resource, name)
        if (resource.plural, namespace, name) in self.objects:
            raise AlreadyExists("there", code=409, reason="AlreadyExists")
        return self.put(resource, manifest, namespace=namespace)

    async def replace(
        self, resource: Resource, manifest: Object, *, namespace: str = "", subresource: str = ""
    ) -> Object:
        name = manifest["metadata"]["name"]
        self._write("update", resource, name)
        stored = self.named(resource, name, namespace=namespace)
        for field in ("uid", "resourceVersion"):
            if manifest["metadata"][field] != stored["metadata"][field]:
                raise Conflict("newer", code=409)
        stored["status"] = manifest["status"]
        return self.put(resource, stored, namespace=namespace)

    async def merge(
        self, resource: Resource, name: str, patch: Object, *, uid: str, namespace: str = ""
    ) -> Object:
        self._write("patch", resource, name)
        stored = self.named(resource, name, namespace=namespace)
        if stored["metadata"]["uid"] != uid:
            raise Conflict("another one", code=409)
        if "spec" in patch:
            stored["spec"] = {**stored.get("spec", {}), **patch["spec"]}
        annotations = patch.get("metadata", {}).get("annotations", {})
        if annotations:
            known = stored["metadata"].get("annotations", {})
            stored["metadata"]["annotations"] = {**known, **annotations}
        return self.put(resource, stored, namespace=namespace)

    async def apply(self, resource: Resource, manifest: Object, *, namespace: str = "") -> Object:
        name = manifest["metadata"]["name"]
        self._write("apply", resource, name)
        stored = self.objects.get((resource.plural, namespace, name), {})
        wanted = manifest["metadata"].get("resourceVersion")
        if wanted is not None and wanted != stored.get("metadata", {}).get("resourceVersion"):
            raise Conflict("newer", code=409)
        kept = {"status": stored["status"]} if "status" in stored else {}
        return self.put(resource, {**manifest, **kept}, namespace=namespace)

    async def find_all(
        self, resource: Resource, *, namespace: str = "", labels: str
    ) -> tuple[Object, ...]:
        self.calls.append(("list", resource.plural, ""))
        wanted = dict(pair.split("=") for pair in labels.split(","))
        return tuple(
            copy.deepcopy(thing)
            for (plural, where, _), thing in self.objects.items()
            if plural == resource.plural
            and where == namespace
            and wanted.items() <= thing["metadata"].get("labels", {}).items()
        )

    async def delete(self, resource: Resource, name: str, *, uid: str, namespace: str = "") -> None:
        self._write("delete", resource, name)
        stored = self.objects.get((resource.plural, namespace, name))
        if stored is None:
            return
        if stored["metadata"]["uid"] != uid:
            raise Conflict("another one", code=409)
        del self.objects[resource.plural, namespace, name]

    async def list_all(
        self, resource: Resource, *, namespace: str = "", labels: str = ""
    ) -> AsyncIterator[Object]:
        self.calls.append(("list", resource.plural, ""))
        for (plural, where, _), thing in self.objects.items():
            if plural == resource.plural and namespace in ("", where):
                yield copy.deepcopy(thing)

    async def list_uids(
        self, resource: Resource, *, namespace: str = "", labels: str = ""
    ) -> frozenset[str]:
        self.calls.append(("list", resource.plural, ""))
        return frozenset(
            thing["metadata"]["uid"]
            for (plural, where, _), thing in self.objects.items()
            if plural == resource.plural and namespace in ("", where)
        )

    @property
    def writes(self) -> list[tuple[str, str, str]]:
        """What was asked to change, in order."""
        return [call for call in self.calls if call[0] not in ("get", "list")]

    def _write(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, resource.plural, name))
        self.before_write(verb, resource, name)
