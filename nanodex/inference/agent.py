"""The only way to the engine: five paths, checked requests, streamed answers.

With runtime adapters on, vLLM loads and unloads adapters for whoever asks, on several paths and
also where a key is demanded. So nothing of a client's request line, headers or unknown fields is
passed on: the agent writes a request of its own to one of two fixed addresses.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from nanodex.api.agent_report import EngineState
from nanodex.api.desired import BASE_MODEL_NAME
from nanodex.inference.directory import Directory, NotReady, Route, UnknownModel
from nanodex.inference.engine_client import EngineClient
from nanodex.inference.messages import (
    BadRequest,
    EventRewriter,
    Protocol,
    Usage,
    engine_request,
    parse_body,
    public_answer,
    wants_usage,
)
from nanodex.inference.metrics import AgentMetrics

log = logging.getLogger(__name__)

# A prompt of 128k tokens is about half of this.
MAX_BODY_BYTES = 2 << 20
# The engine's address for each protocol; a client's path never reaches it.
_ENGINE_PATH: dict[Protocol, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
}
ALLOWED_PATHS = frozenset({
    b"/v1/chat/completions", b"/v1/completions", b"/v1/models", b"/health", b"/metrics",
})  # fmt: skip
_UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What the agent's handlers work with."""

    engine: EngineClient
    directory: Directory
    metrics: AgentMetrics

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._generate(request, protocol="chat")

    async def completion(self, request: Request) -> Response:
        """POST /v1/completions."""
        return await self._generate(request, protocol="completion")

    async def models(self, _: Request) -> Response:
        """GET /v1/models: public names, and the version that each of them means."""
        routes = self.directory.routes
        cards = [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "nanodex",
                "root": routes[name].public_name if name in routes else name,
                "parent": BASE_MODEL_NAME if name in routes else None,
            }
            for name in self.directory.models()
        ]
        return JSONResponse({"object": "list", "data": cards})

    async def health(self, _: Request) -> Response:
        """GET /health: 200 when requests are answered, 503 while starting or stopping."""
        state = self.directory.engine
        healthy = state is EngineState.READY and await self.engine.healthy()
        return JSONResponse({"status": state.value}, status_code=200 if healthy else 503)

    async def show_metrics(self, _: Request) -> Response:
        """GET /metrics: the agent's, followed by the engine's."""
        text = self.metrics.text() + await self.engine.metrics()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _generate(self, request: Request, *, protocol: Protocol) -> Response:
        name = _UNKNOWN
        try:
            body = parse_body(await _read(request))
            route = await self.directory.find(body["model"])
            name = route.public_name
            content = engine_request(body, protocol=protocol, route=route)
            answer = _Answer(agent=self, route=route, with_usage=wants_usage(body))
            return await answer.open(_ENGINE_PATH[protocol], content, client=request)
        except BadRequest as error:
            return self._failed(name, 400, str(error))
        except UnknownModel:
            models = ", ".join(self.directory.models())
            message = f"the model {body['model']!r:.120} does not exist; served here: {models:.600}"
            return self._failed(name, 404, message, code="model_not_found", param="model")
        except NotReady as error:
            return self._failed(
                name, 503, str(error), code="model_not_ready", retry_after=error.retry_after
            )
        except ClientDisconnect:
            # Nobody reads this; 499 is what nginx counts such requests under.
            return self._failed(name, 499, "the client closed the connection")
        except httpx.HTTPError as error:
            log.warning("the engine did not answer: %s: %s", type(error).__name__, error)
            return self._failed(
                name, 503, "the engine does not answer", code="engine_down", retry_after=15
            )

    def _failed(
        self,
        model: str,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> Response:
        self.metrics.answered(model, status)
        return error_response(status, message, code=code, param=param, retry_after=retry_after)


@dataclass(kw_only=True)
class _Answer:
    """One answer of the engine on its way to the client."""

    agent: Agent
    route: Route
    with_usage: bool

    async def open(self, path: str, content: dict[str, Any], *, client: Request) -> Response:
        """Send the request; returns when the engine begins to answer.

        A client that goes away before that ends the engine's work by closing the connection.

        Raises:
            NotReady: the engine has lost the adapter, and the next pass loads it again; or its core
                is dead and it is about to be restarted.
            ClientDisconnect: the client has gone.
            httpx.HTTPError: the engine is down.
        """
        using = self.agent.directory.using(self.route)
        using.__enter__()
        started = time.monotonic()
        try:
            upstream = await _unless_gone(self._send(path, content), client)
            if upstream.status_code == 404:
                await upstream.aclose()
                message = f"{self.route.public_name} is being loaded again"
                raise NotReady(message, retry_after=5)
            if upstream.status_code >= 500 and not await self.agent.engine.healthy():
                await upstream.aclose()
                raise NotReady("the engine is being restarted", retry_after=15)
        except BaseException:
            using.__exit__(None, None, None)
            raise
        self.agent.metrics.first_byte(self.route.public_name, time.monotonic() - started)
        self.agent.metrics.answered(self.route.public_name, upstream.status_code)
        media_type = upstream.headers.get("content-type", "application/json")

        async def finish() -> None:
            using.__exit__(None, None, None)
            await upstream.aclose()

        return _Streamed(
            self._public(upstream, media_type),
            status_code=upstream.status_code,
            media_type=media_type,
            finish=finish,
        )

    async def _send(self, path: str, content: dict[str, Any]) -> httpx.Response:
        http = self.agent.engine.http
        try:
            return await http.send(http.build_request("POST", path, json=content), stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # A kept connection that the engine was just closing; asking twice changes nothing.
            return await http.send(http.build_request("POST", path, json=content), stream=True)

    async def _public(self, upstream: httpx.Response, media_type: str) -> AsyncIterator[bytes]:
        usage = Usage()
        if media_type.startswith("text/event-stream"):
            events = EventRewriter(route=self.route, usage=usage, with_usage=self.with_usage)
            async for chunk in upstream.aiter_bytes():
                if public := events.feed(chunk):
                    yield public
            yield events.end()
        else:
            yield public_answer(await upstream.aread(), route=self.route, usage=usage)
        self.agent.metrics.spent(self.route.public_name, prompt=usage.prompt, answer=usage.answer)


class _Streamed(StreamingResponse):
    """A streamed response that cleans up also when its body was never begun."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        *,
        status_code: int,
        media_type: str,
        finish: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(content, status_code=status_code, media_type=media_type)
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then let go of the engine's."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._finish()


async def _unless_gone(
    work: Coroutine[Any, Any, httpx.Response], client: Request
) -> httpx.Response:
    """Await `work`, but give it up when the client closes its connection."""
    sending = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(client))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise ClientDisconnect
        return await sending
    finally:
        leaving.cancel()
        sending.cancel()


async def _disconnected(client: Request) -> None:
    while (await client.receive())["type"] != "http.disconnect":
        pass


async def _read(request: Request) -> bytes:
    """The body of a request, within bounds.

    Raises:
        HTTPException: 413 or 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A web page can send other types across origins without being asked first.
    if media_type != "application/json":
        raise HTTPException(415, "the content type must be application/json")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def error_response(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    retry_after: int | None = None,
) -> Response:
    """An error in the form that OpenAI's clients read."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": param, "code": code}},
        status_code=status,
        headers={"Retry-After": str(retry_after)} if retry_after is not None else None,
    )


class _ExactPaths:
    """Refuses every request whose path is not, byte for byte, one of the five.

    Routers decode and tidy paths; comparing what was sent leaves nothing to disagree about.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path") not in ALLOWED_PATHS:
            path = json.dumps(str(scope.get("path", ""))[:120])
            response = error_response(404, f"there is no {path} here", code="not_found")
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def build_app(agent: Agent) -> ASGIApp:
    """The agent as an ASGI application."""

    async def refused(_: Request, error: Exception) -> Response:
        # Registered for HTTPException alone; Starlette's own signature is wider.
        status = getattr(error, "status_code", 500)
        return error_response(status, getattr(error, "detail", "internal error"))

    app = Starlette(
        routes=[
            HttpRoute("/v1/chat/completions", agent.chat, methods=["POST"]),
            HttpRoute("/v1/completions", agent.completion, methods=["POST"]),
            HttpRoute("/v1/models", agent.models, methods=["GET"]),
            HttpRoute("/health", agent.health, methods=["GET"]),
            HttpRoute("/metrics", agent.show_metrics, methods=["GET"]),
        ],
        exception_handlers={HTTPException: refused},
    )
    app.router.redirect_slashes = False
    return _ExactPaths(app)
