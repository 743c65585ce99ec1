"""The API server, as a reconcile needs it.

Objects are plain dictionaries, as `kubectl get -o json` shows them. A request is tried again while
the API server is away or asks for patience; whatever else it says is a `ClusterError`. Every write
may be repeated: names are deterministic, and whoever must not be overwritten is named by version.
"""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Self
from urllib.parse import urlencode

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from nanodex_operator.account import Account
from nanodex_operator.connection import Connection
from nanodex_operator.kinds import Resource
from nanodex_operator.metrics import OperatorMetrics
from nanodex_operator.readings import Object
from nanodex_operator.refusals import ClusterError, NotFound, Unavailable

PATIENCE_SECONDS = 30.0
FIELD_MANAGER = "nanodex-operator"
# A watch is ended by the API server, and given up when not even that is heard.
_WATCH_SECONDS = 60
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=_WATCH_SECONDS + 10, sock_connect=5)
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA_OF_EVENTS = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# Objects of one answer.
PAGE = 250

_log = logging.getLogger(__name__)


class Cluster:
    """Requests of one operator, counted.

    Args:
        account: who asks, and where.
        metrics: counts requests.
        patience_seconds: how long one request is tried again.
    """

    def __init__(
        self,
        account: Account,
        *,
        metrics: OperatorMetrics,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.account = account
        self._connection = Connection(account)
        self._metrics = metrics
        self._patience = patience_seconds

    @classmethod
    async def connect(
        cls,
        environment: Mapping[str, str],
        *,
        metrics: OperatorMetrics,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Self:
        """Return a client with the account that `Account.find` finds.

        Raises:
            KeyError: there is none.
        """
        account = await Account.find(environment)
        return cls(account, metrics=metrics, patience_seconds=patience_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """Return an object.

        Raises:
            NotFound: there is none.
        """
        return await self._ask("get", resource, resource.path(namespace=namespace, name=name))

    async def list_uids(
        self, resource: Resource, *, namespace: str = "", labels: str = ""
    ) -> frozenset[str]:
        """Return the uids of all objects, without reading the objects themselves."""
        query = {"labelSelector": labels} if labels else {}
        found = await self._ask(
            "list",
            resource,
            resource.path(namespace=namespace),
            query=query,
            accept=f"{_METADATA_ONLY}, application/json",
        )
        # An empty list of metadata alone is null.
        return frozenset(item["metadata"]["uid"] for item in found.get("items") or ())

    async def list_all(
        self, resource: Resource, *, namespace: str = "", labels: str = ""
    ) -> AsyncIterator[Object]:
        """Yield all objects, asked for some hundred at a time; a list of them has no kind each.

        Raises:
            Refused: it took so long that the API server has forgotten how it began.
        """
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._ask(
                "list", resource, resource.path(namespace=namespace), query=query
            )
            for item in page.get("items") or ():
                yield item
            following = page["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    async def watch(
        self, resource: Resource, *, namespace: str = "", labels: str
    ) -> AsyncIterator[Object]:
        """Yield the metadata of all objects that there are, then of each that changes or goes.

        Ends when the API server ends it, which it does now and then; what happens until the next
        watch is not reported, except that what there is comes first again.

        Raises:
            ClusterError: it cannot be watched now.
        """
        query = {"watch": "1", "labelSelector": labels, "timeoutSeconds": str(_WATCH_SECONDS)}
        path = f"{resource.path(namespace=namespace)}?{urlencode(query)}"
        accept = f"{_METADATA_OF_EVENTS}, application/json"
        code = int(HTTPStatus.OK)
        try:
            async for line in self._connection.lines(path, accept=accept, limit=_WATCH_TIMEOUT):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Unavailable(f"the watch ended: {event['object'].get('message', '')}")
                yield event["object"]
        except (ValueError, KeyError) as error:
            raise Unavailable(f"what a watch showed cannot be read: {error!r}") from error
        except ClusterError as error:
            code = error.code
            raise
        finally:
            self._metrics.asked_api("watch", resource=resource.plural, code=code)

    async def served(self, group_version: str) -> frozenset[str]:
        """Return the plurals of the resources that the API server has in a group and version."""
        group = Resource(group_version, "", "")
        try:
            found = await self._ask("get", Resource("", "apiresources", ""), group.path())
        except NotFound:
            return frozenset()
        return frozenset(item["name"] for item in found["resources"])

    async def create(self, resource: Resource, manifest: Object, *, namespace: str = "") -> Object:
        """Create an object and return it.

        Raises:
            AlreadyExists: one of this name is there.
        """
        path = resource.path(namespace=namespace)
        return await self._ask("create", resource, path, body=manifest)

    async def replace(
        self, resource: Resource, manifest: Object, *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Replace an object of the version that the manifest names, and return it.

        Raises:
            Conflict: it has another version meanwhile.
            NotFound: it is gone.
        """
        path = resource.path(
            namespace=namespace, name=manifest["metadata"]["name"], subresource=subresource
        )
        return await self._ask("update", resource, path, body=manifest)

    async def merge(
        self, resource: Resource, name: str, patch: Object, *, uid: str, namespace: str = ""
    ) -> Object:
        """Merge fields into the object with this uid, and return it.

        Raises:
            Conflict: the object of this name is another one.
            NotFound: it is gone.
        """
        path = resource.path(namespace=namespace, name=name)
        body = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        return await self._ask(
            "patch", resource, path, body=body, content_type="application/merge-patch+json"
        )

    async def apply(self, resource: Resource, manifest: Object, *, namespace: str = "") -> Object:
        """Apply an object on the server's side, as the owner of all fields that it names.

        Raises:
            Conflict: the manifest names a version, and the object has another one.
        """
        name = manifest["metadata"]["name"]
        return await self._ask(
            "patch",
            resource,
            resource.path(namespace=namespace, name=name),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def find_all(
        self, resource: Resource, *, namespace: str = "", labels: str
    ) -> tuple[Object, ...]:
        """Return the objects that a label selector matches."""
        path = resource.path(namespace=namespace)
        found = await self._ask("list", resource, path, query={"labelSelector": labels})
        return tuple(found.get("items") or ())

    async def delete(self, resource: Resource, name: str, *, uid: str, namespace: str = "") -> None:
        """Delete the object with this uid, and its dependents in the background; gone is fine.

        Raises:
            Conflict: the object of this name is another one.
        """
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            path = resource.path(namespace=namespace, name=name)
            await self._ask("delete", resource, path, body=options)
        except NotFound:
            return

    async def _ask(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> Object:
        """Send one request, again and again while that may help."""
        whole = path + (f"?{urlencode(query)}" if query else "")
        retrying = AsyncRetrying(
            stop=stop_after_delay(self._patience),
            wait=_Wait(),
            retry=retry_if_exception_type(Unavailable),
            before_sleep=_say_again,
            reraise=True,
        )

        async def attempt() -> Object:
            try:
                code, answer = await self._connection.send(
                    _METHODS[verb], whole, accept=accept, content_type=content_type, body=body
                )
            except ClusterError as error:
                self._metrics.asked_api(verb, resource=resource.plural, code=error.code)
                raise
            self._metrics.asked_api(verb, resource=resource.plural, code=code)
            return answer

        return await retrying(attempt)


_METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


class _Wait(wait_random_exponential):
    """Exponential with jitter, but as long as the API server asked for."""

    def __init__(self) -> None:
        super().__init__(multiplier=0.2, max=5)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked_for = error.retry_after if isinstance(error, Unavailable) else 0.0
        return max(asked_for, super().__call__(retry_state))


def _say_again(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    # The first failures are ordinary; a person is told when it lasts.
    level = logging.WARNING if state.attempt_number >= 4 else logging.DEBUG
    _log.log(level, "asked the API server %d times: %s", state.attempt_number, error)
