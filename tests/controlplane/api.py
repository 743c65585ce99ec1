"""A test's own look at the API server, independent of the client that the product uses.

Objects are what `kubectl get -o json` shows. A resource is named as `v1/pods`, `batch/v1/jobs` or
`nanodex.dev/v1alpha1/codeexperts`.
"""

import base64
import contextlib
import ssl
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.controlplane.kubeconfig import checked_kubeconfig

Object = dict[str, Any]
T = TypeVar("T")
DEFINITIONS = "apiextensions.k8s.io/v1/customresourcedefinitions"
FIELD_MANAGER = "nanodex-test"


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, *, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where an API server is and who we are there."""

    server: str
    tls: ssl.SSLContext
    headers: dict[str, str]

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """Read a kubeconfig.

        Raises:
            ForeignContext: it leads to a cluster that is not a test's.
        """
        config = checked_kubeconfig(path)
        wanted = _one(config["contexts"], config["current-context"])["context"]
        cluster = _one(config["clusters"], wanted["cluster"])["cluster"]
        user = _one(config["users"], wanted["user"])["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        tls = ssl.create_default_context(cadata=authority)
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pem:
                pem.write(base64.b64decode(user["client-certificate-data"]))
                pem.write(base64.b64decode(user["client-key-data"]))
                pem.flush()
                tls.load_cert_chain(pem.name)
        token = user.get("token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(server=cluster["server"], tls=tls, headers=headers)

    def client(self) -> httpx.Client:
        """Return a client that asks as this user."""
        return httpx.Client(
            base_url=self.server,
            verify=self.tls,
            headers=self.headers,
            timeout=30,
            trust_env=False,
        )


class Api:
    """One user's requests, each answered with an object or `Refused`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._http = Connection.from_kubeconfig(kubeconfig).client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Return whether the API server says that it is."""
        try:
            return self._http.get("/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def version(self) -> Object:
        """Return the API server's version."""
        return answer(self._http.get("/version"))

    def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        """Return one object."""
        return answer(self._http.get(path(resource, namespace=namespace, name=name)))

    def find(self, resource: str, name: str, *, namespace: str = "") -> Object | None:
        """Return one object, or None when there is none."""
        try:
            return self.get(resource, name, namespace=namespace)
        except Refused as refused:
            if refused.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def find_all(self, resource: str, *, namespace: str = "", labels: str = "") -> list[Object]:
        """Return the objects that a label selector matches."""
        found = answer(
            self._http.get(
                path(resource, namespace=namespace),
                params={"labelSelector": labels} if labels else None,
            )
        )
        items: list[Object] = found["items"]
        return items

    def create(self, resource: str, body: Object, *, namespace: str = "") -> Object:
        """Create an object."""
        return answer(self._http.post(path(resource, namespace=namespace), json=body))

    def judge(self, resource: str, body: Object, *, namespace: str = "") -> Object:
        """Return what an object would become; unknown fields are refused, nothing is kept."""
        return answer(
            self._http.post(
                path(resource, namespace=namespace),
                json=body,
                params={"dryRun": "All", "fieldValidation": "Strict"},
            )
        )

    def apply(
        self,
        resource: str,
        body: Object,
        *,
        namespace: str = "",
        subresource: str = "",
        manager: str = FIELD_MANAGER,
    ) -> Object:
        """Apply an object on the server side, as a field manager of its own."""
        return answer(
            self._http.patch(
                path(
                    resource,
                    namespace=namespace,
                    name=body["metadata"]["name"],
                    subresource=subresource,
                ),
                json=body,
                params={"fieldManager": manager, "force": "true"},
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
        )

    def patch(
        self, resource: str, name: str, body: Object, *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Merge fields into an object; None removes a field."""
        return answer(
            self._http.patch(
                path(resource, namespace=namespace, name=name, subresource=subresource),
                json=body,
                headers={"Content-Type": "application/merge-patch+json"},
            )
        )

    def delete(
        self,
        resource: str,
        name: str,
        *,
        namespace: str = "",
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object; one that is not there is fine."""
        options: Object = {"propagationPolicy": propagation}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        place = path(resource, namespace=namespace, name=name)
        response = self._http.request("DELETE", place, json=options)
        if response.status_code != httpx.codes.NOT_FOUND:
            answer(response)

    def post(
        self, resource: str, name: str, subresource: str, body: Object, *, namespace: str = ""
    ) -> Object:
        """Post to a subresource, such as a ServiceAccount's `token` or a Pod's `eviction`."""
        place = path(resource, namespace=namespace, name=name, subresource=subresource)
        return answer(self._http.post(place, json=body))


def path(resource: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the path of a resource, an object or a subresource."""
    group_version, plural = resource.rsplit("/", 1)
    parts = ["/api" if group_version == "v1" else "/apis", group_version]
    if namespace:
        parts += ["namespaces", namespace]
    return "/".join([*parts, *(part for part in (plural, name, subresource) if part)])


def answer(response: httpx.Response) -> Object:
    """Return the object of a response.

    Raises:
        Refused: it is a refusal.
    """
    if response.is_success:
        found: Object = response.json()
        return found
    try:
        status = response.json()
    except ValueError:
        status = {}
    raise Refused(
        response.status_code,
        reason=status.get("reason", ""),
        message=status.get("message", response.text),
    )


def eventually(look: Callable[[], T | None], *, seconds: float = 30.0) -> T:
    """Return what a look returns as soon as that is true.

    Raises:
        AssertionError: it was not in time; the message has the last look.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s; last seen: {seen!r}"
        time.sleep(0.05)


def established(api: Api, definition: str) -> bool:
    """Tell whether the API server serves a custom resource.

    Raises:
        AssertionError: it says that the schema is not structural.
    """
    # A definition that no controller has looked at yet has `conditions: null`.
    conditions = api.get(DEFINITIONS, definition).get("status", {}).get("conditions") or []
    found = {condition["type"]: condition["status"] for condition in conditions}
    assert "NonStructuralSchema" not in found, conditions
    return found.get("Established") == "True"


def add_definitions(api: Api, *definitions: Object) -> None:
    """Apply custom resources, and wait until they are served."""
    for definition in definitions:
        api.apply(DEFINITIONS, definition)
    for definition in definitions:
        eventually(lambda name=definition["metadata"]["name"]: established(api, name))


def remove_definitions(api: Api, *names: str) -> None:
    """Delete custom resources with all their objects, and wait until they are gone.

    The API server may give up where a definition is as young as in a test: its storage is not ready
    (`InstanceDeletionFailed`), the second attempt meets a conflict with the status that the first
    one wrote, and then only another change makes it look again, or a resync half a minute later.
    """
    for name in names:
        api.delete(DEFINITIONS, name)
    for name in names:
        eventually(lambda name=name: _is_gone(api, name))


def _is_gone(api: Api, definition: str) -> bool:
    found = api.find(DEFINITIONS, definition)
    if found is None:
        return True
    conditions = found.get("status", {}).get("conditions") or []
    if any(condition["reason"] == "InstanceDeletionFailed" for condition in conditions):
        touched = {"metadata": {"annotations": {"nanodex.dev/touched": uuid.uuid4().hex}}}
        with contextlib.suppress(Refused):  # it may be gone by now
            api.patch(DEFINITIONS, definition, touched)
    return False


def _one(entries: list[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)
