"""The only way to the engine: five paths, checked requests, streamed answers.

With runtime adapters on, vLLM loads and unloads adapters for whoever asks, on several paths and
also where a key is demanded. So nothing of a client's request line, headers or unknown fields is
passed on: the agent writes a request of its own to one of two fixed addresses.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp

from nanodex.api.agent_report import EngineState
from nanodex.api.desired import BASE_MODEL_NAME
from nanodex.inference.access import Access, Client, Everybody
from nanodex.inference.answer import ask_engine, public_stream, unless_gone
from nanodex.inference.audit import Entry
from nanodex.inference.directory import Directory, NotReady, Route, UnknownModel
from nanodex.inference.engine_client import EngineAbsent, EngineClient, EngineUnreachable
from nanodex.inference.exact_paths import exact_app
from nanodex.inference.messages import (
    BadRequest,
    Protocol,
    engine_request,
    parse_body,
    wants_usage,
)
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.refusals import Refusal, Turns
from nanodex.inference.tokens import ReviewsUnavailable, TokenAccess

log = logging.getLogger(__name__)

# A prompt of 128k tokens is about half of this.
MAX_BODY_BYTES = 2 << 20
_BODY_SECONDS = 60.0
_TURNS_ON_ONE_MACHINE = 1024
# The engine's address for each protocol; a client's path never reaches it.
_ENGINE_PATH: dict[Protocol, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
}
_UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """What the agent's handlers work with."""

    engine: EngineClient
    directory: Directory
    metrics: AgentMetrics
    access: Access = field(default_factory=Everybody)
    turns: Turns = field(default_factory=lambda: Turns(_TURNS_ON_ONE_MACHINE))
    # Who is asked about tokens that are no keys; None: nobody.
    tokens: TokenAccess | None = None

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._generate(request, protocol="chat")

    async def completion(self, request: Request) -> Response:
        """POST /v1/completions."""
        return await self._generate(request, protocol="completion")

    async def models(self, request: Request) -> Response:
        """GET /v1/models: public names that the client may ask, and the version each means."""
        models = await self._models_for(request)
        known = {**self.directory.catalogue, **self.directory.routes}
        cards = [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "nanodex",
                "root": known[name].public_name if name in known else name,
                "parent": BASE_MODEL_NAME if name in known else None,
            }
            for name in models
        ]
        return JSONResponse({"object": "list", "data": cards})

    async def health(self, _: Request) -> Response:
        """GET /health: 200 when requests are answered, 503 while starting or stopping."""
        state = EngineState.DRAINING if self.directory.leaving else self.directory.engine
        healthy = state is EngineState.READY and await self.engine.healthy()
        return JSONResponse({"status": state.value}, status_code=200 if healthy else 503)

    async def show_metrics(self, request: Request) -> Response:
        """GET /metrics: the agent's, followed by the engine's; they name every expert."""
        client = await self._client_of(request, models=(BASE_MODEL_NAME,))
        if not client.may_ask_all:
            raise Refusal(403, "the metrics need a key for all models", code="permission_denied")
        return await self.all_metrics(request)

    async def all_metrics(self, _: Request) -> Response:
        """GET /metrics for those who reach the port that is not exposed."""
        text = self.metrics.text() + await self.engine.metrics()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _generate(self, request: Request, *, protocol: Protocol) -> Response:
        entry = Entry(path=_ENGINE_PATH[protocol])
        with contextlib.ExitStack() as stack:
            stack.callback(entry.write)
            try:
                return await self._answer(request, protocol=protocol, entry=entry, stack=stack)
            except Refusal as error:
                refusal = error
            except BadRequest as error:
                refusal = Refusal(400, str(error))
            except NotReady as error:
                refusal = Refusal(
                    503, str(error), code="model_not_ready", retry_after=error.retry_after
                )
            except ClientDisconnect:
                # Nobody reads this; 499 is what nginx counts such requests under.
                refusal = Refusal(499, "the client closed the connection")
            except EngineUnreachable as error:
                log.warning("the engine did not answer: %s", error)
                refusal = Refusal(
                    503, "the engine does not answer", code="engine_down", retry_after=15
                )
            entry.status = refusal.status
            self.metrics.answered(entry.model or _UNKNOWN, refusal.status)
            return refusal.response()

    async def _answer(
        self,
        request: Request,
        *,
        protocol: Protocol,
        entry: Entry,
        stack: contextlib.ExitStack,
    ) -> Response:
        # Who has no key at all is told before anything is read.
        client = await self._client_of(request)
        entry.client = client.name
        stack.enter_context(self.turns.taken(client.name))
        body = parse_body(await _read(request))
        model = body["model"]
        client = await self._client_of(request, models=(model,))
        if not client.may_ask(model):
            raise Refusal(
                403,
                f"this key may not ask {model!r:.120}",
                code="permission_denied",
                param="model",
            )
        route, upstream = await self._ask(
            request, body, protocol=protocol, entry=entry, stack=stack
        )
        return public_stream(
            upstream,
            route=route,
            with_usage=wants_usage(body),
            entry=entry,
            metrics=self.metrics,
            done=stack.pop_all().close,
        )

    async def _ask(
        self,
        request: Request,
        body: dict[str, Any],
        *,
        protocol: Protocol,
        entry: Entry,
        stack: contextlib.ExitStack,
    ) -> tuple[Route, aiohttp.ClientResponse]:
        """Send a request; returns when an engine begins to answer, be it the next one.

        Raises:
            EngineUnreachable: two engines went down over it.
        """
        asked = False
        while True:
            route = await self._route(request, body["model"])
            entry.model, entry.digest = route.public_name, route.digest
            content = engine_request(body, protocol=protocol, route=route)
            with contextlib.ExitStack() as using:
                using.enter_context(self.directory.using(route))
                try:
                    upstream = await ask_engine(
                        self.engine, _ENGINE_PATH[protocol], content, route=route, client=request
                    )
                except EngineAbsent as error:
                    self.directory.engine_is_away(str(error))
                except EngineUnreachable as error:
                    self.directory.engine_is_away(str(error))
                    # What takes engines down with it gets a second and no third.
                    if asked:
                        raise
                    asked = True
                else:
                    stack.enter_context(using.pop_all())
                    return route, upstream

    async def _route(self, request: Request, model: str) -> Route:
        """The route of a model, waited for while it is on its way.

        Raises:
            Refusal: 404, there is none.
            NotReady: it did not come in time.
            ClientDisconnect: the client did not wait.
        """
        try:
            return await unless_gone(self.directory.find(model), request)
        except UnknownModel:
            models = ", ".join(await self._models_for(request))
            raise Refusal(
                404,
                f"the model {model!r:.120} does not exist; served here: {models:.600}",
                code="model_not_found",
                param="model",
            ) from None

    async def _client_of(self, request: Request, *, models: Sequence[str] = ()) -> Client:
        """Who asks, with the rights that decide about `models`.

        Raises:
            Refusal: 401, or 503 where nobody can say.
        """
        authorization = request.headers.get("authorization", "")
        client = self.access.client_of(authorization)
        if client is None and self.tokens is not None:
            try:
                client = await self.tokens.client_of(authorization, models=models)
            except ReviewsUnavailable as error:
                raise Refusal(503, str(error), code="access_unavailable", retry_after=5) from None
        if client is None:
            raise Refusal(
                401,
                "the API key is not valid"
                if authorization
                else "an API key is needed: Authorization: Bearer KEY",
                code="invalid_api_key",
            )
        return client

    async def _models_for(self, request: Request) -> list[str]:
        """The models that whoever asks may ask."""
        models = self.directory.models()
        client = await self._client_of(request, models=models)
        return [name for name in models if client.may_ask(name)]


async def _read(request: Request) -> bytes:
    """The body of a request, within bounds.

    Raises:
        Refusal: 408, 413 or 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A web page can send other types across origins without being asked first.
    if media_type != "application/json":
        raise Refusal(415, "the content type must be application/json")
    too_large = Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {_BODY_SECONDS:.0f} s") from None
    return bytes(body)


def build_app(agent: Agent) -> ASGIApp:
    """The agent as an ASGI application."""
    return exact_app(
        [
            HttpRoute("/v1/chat/completions", agent.chat, methods=["POST"]),
            HttpRoute("/v1/completions", agent.completion, methods=["POST"]),
            HttpRoute("/v1/models", agent.models, methods=["GET"]),
            HttpRoute("/health", agent.health, methods=["GET"]),
            HttpRoute("/metrics", agent.show_metrics, methods=["GET"]),
        ]
    )
