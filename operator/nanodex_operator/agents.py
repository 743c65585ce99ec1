"""Asks the agents of a ModelServer what they serve; the only place that speaks to them."""

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from nanodex_operator.manifests.engine_pod import PRIVATE_PORT
from nanodex_operator.servers import read_report
from nanodex_operator.snapshot import ReplicaReport

_log = logging.getLogger(__name__)

_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
# 8192 versions with a sentence each stay below this.
_MAX_BYTES = 8 << 20
_AT_ONCE = 32


class Agents:
    """A client of all agents.

    Args:
        transport: how to reach them; None for the network.
        port: which they listen on for the operator.
    """

    def __init__(
        self, *, transport: httpx.AsyncBaseTransport | None = None, port: int = PRIVATE_PORT
    ) -> None:
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            transport=transport,
            # A proxy for the internet is not asked the way to a Pod.
            trust_env=False,
            follow_redirects=False,
        )
        self._port = port
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, addresses: Mapping[str, str]) -> tuple[ReplicaReport, ...]:
        """Return what the agents say; one that does not answer is left out.

        Args:
            addresses: IP address of each Pod, by its name.
        """
        answers = await asyncio.gather(
            *(self._ask(pod, address) for pod, address in sorted(addresses.items()))
        )
        return tuple(answer for answer in answers if answer is not None)

    async def _ask(self, pod: str, address: str) -> ReplicaReport | None:
        try:
            host = ipaddress.ip_address(address)
            name = f"[{host}]" if host.version == 6 else str(host)
            async with self._turns:
                body = await self._read(f"http://{name}:{self._port}/status")
            return read_report(pod, body)
        except (httpx.HTTPError, ValueError) as error:
            _log.info("%s does not say what it serves: %s", pod, error or type(error).__name__)
            return None

    async def _read(self, url: str) -> bytes:
        body = bytearray()
        async with self._http.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"more than {_MAX_BYTES} bytes")
        return bytes(body)
