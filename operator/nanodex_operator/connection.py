"""One request to the API server, or one stream of lines: all that is used of the Kubernetes client.

With `account` the only module that knows it. Nothing is tried again here.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.rest import RESTResponse

from nanodex_operator.account import Account
from nanodex_operator.readings import Object
from nanodex_operator.refusals import ClusterError, Unavailable, refusal

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_JSON = "application/json"


class Connection:
    """Requests of one account.

    Args:
        account: who asks, and where.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._server = account.configuration.host
        self._client = ApiClient(account.configuration)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        accept: str = _JSON,
        content_type: str = _JSON,
        body: Object | None = None,
    ) -> tuple[int, Object]:
        """Send a request; return the status, which is a success, and the object.

        Raises:
            Unavailable: no answer, or one that asks for patience.
            ClusterError: the API server refuses.
        """
        headers = {"Accept": accept, "Content-Type": content_type}
        response = await self._open(method, path, headers=headers, limit=_TIMEOUT, body=body)
        with self._answering():
            data = await response.read()
        if 200 <= response.status < 300:
            return response.status, json.loads(data)
        raise _refused(response, data)

    async def lines(
        self, path: str, *, accept: str, limit: aiohttp.ClientTimeout
    ) -> AsyncIterator[bytes]:
        """Yield the lines of an answer as they come, until it ends.

        Raises:
            Unavailable: no answer, or one that broke off, or a line of more than some MiB.
            ClusterError: the API server refuses.
        """
        response = await self._open("GET", path, headers={"Accept": accept}, limit=limit)
        with self._answering():
            async with response.response as stream:
                if stream.status != HTTPStatus.OK:
                    raise _refused(response, await response.read())
                async for line in stream.content:
                    yield line

    async def _open(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        limit: aiohttp.ClientTimeout,
        body: Object | None = None,
    ) -> RESTResponse:
        """Send a request; return when the answer begins."""
        authorization = await self._account.authorization()
        own = headers | {"User-Agent": "nanodex-operator"}
        own |= {"Authorization": authorization} if authorization else {}
        with self._answering():
            return await self._client.call_api(
                method, self._server + path, header_params=own, body=body, _request_timeout=limit
            )

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what a connection does into our error."""
        try:
            yield
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer from {self._server}: {error!r}") from error


def _refused(response: RESTResponse, data: bytes) -> ClusterError:
    return refusal(response.status, data, retry_after=response.headers.get("Retry-After"))
