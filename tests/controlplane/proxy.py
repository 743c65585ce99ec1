"""A proxy before the API server that a test lets fail: it counts writes, delays, refuses, cuts.

It speaks plain HTTP to the operator and TLS to the API server; who asks is passed on as it is.
"""

import asyncio
import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import yaml
from aiohttp import web

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What belongs to one connection, not to the message.
_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})

# Is asked before a request is passed on; an answer is given in its place.
Interfere = Callable[[web.Request], web.Response | None]


class Cut(Exception):
    """Raised by a test's rule: the connection breaks without an answer."""


class Proxy:
    """Passes requests on, in a thread with an event loop of its own.

    Args:
        kubeconfig: leads to the API server.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        cluster = self._config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        self._target: str = cluster["server"]
        self._tls = ssl.create_default_context(cadata=authority)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy")
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._port = 0
        self._watches: set[asyncio.Task[None]] = set()
        # Before a request reaches the API server; may answer itself, or raise Cut.
        self.before: Interfere = lambda request: None
        # After the API server has answered and before the client hears of it; may raise Cut.
        self.after: Callable[[web.Request], None] = lambda request: None

    def kubeconfig(self, folder: Path) -> Path:
        """Return the path of a kubeconfig that leads here."""
        config = json.loads(json.dumps(self._config))
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._port}"}
        path = folder / "proxy.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def cut_watches(self) -> None:
        """Break all watches that are under way."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._watches])

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._done is not None
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=16 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._http:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            self._up.set()
            await self._done.wait()
            for task in self._watches:
                task.cancel()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            instead = self.before(request)
            return instead if instead is not None else await self._pass_on(request)
        except (Cut, aiohttp.ClientError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        async with self._http.request(
            request.method,
            self._target + request.raw_path,
            headers=headers,
            # An empty body would get a Content-Type, which the API server refuses.
            data=await request.read() or None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            try:
                if request.query.get("watch") == "true":
                    return await self._watch(request, answer, headers=kept)
                body = await answer.read()
                self.after(request)
                return web.Response(status=answer.status, headers=kept, body=body)
            finally:
                # Only an answer that is not read to its end still has one. TLS would end it by
                # asking the other side, and this loop may be over before that says a word.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()

    async def _watch(
        self, request: web.Request, answer: aiohttp.ClientResponse, *, headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        streaming = asyncio.create_task(_stream(answer, response))
        self._watches.add(streaming)
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):
            await streaming
        self._watches.discard(streaming)
        if request.transport is not None:
            request.transport.abort()
        return response


def writes(request: web.Request) -> bool:
    """Return whether a request changes an object that is not a lease."""
    return request.method in _WRITES and "/leases" not in request.path


async def _stream(answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
