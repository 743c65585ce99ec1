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
from nanodex.inference.engine_client import (
    EngineAbsent,
    EngineClient,
    EngineDying,
    EngineUnreachable,
)
from nanodex.inference.exact_paths import exact_app
from nanodex.inference.messages import (
    BadRequest,
    Protocol,
    engine_request,
    wants_usage,
)
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.question import Question, read_question
from nanodex.inference.refusals import Refusal, Turns
from nanodex.inference.tokens import ReviewsUnavailable, TokenAccess

log = logging.getLogger(__name__)

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
        self.metrics.waiting(self.directory.asked)
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
        question = await read_question(request, protocol=protocol)
        await self._check(request, question.model)
        route, upstream = await self._ask(request, question, entry=entry, stack=stack)
        return public_stream(
            upstream,
            route=route,
            with_usage=wants_usage(question.body),
            entry=entry,
            metrics=self.metrics,
            done=stack.pop_all().close,
        )

    async def _ask(
        self, request: Request, question: Question, *, entry: Entry, stack: contextlib.ExitStack
    ) -> tuple[Route, aiohttp.ClientResponse]:
        """Return when an engine begins to answer, be it the next one.

        Raises:
            EngineUnreachable: it is there, and did not answer this request.
            Refusal: two engines went down over it; or see `_find`.
        """
        since, asked = asyncio.get_running_loop().time(), False
        while True:
            route = await self._find(request, question, since=since)
            entry.model, entry.digest = route.public_name, route.digest
            try:
                return route, await self._ask_once(request, question, route=route, stack=stack)
            except EngineUnreachable as error:
                if not (isinstance(error, EngineDying) or await self._has_no_engine()):
                    raise
                self.directory.engine_is_away(str(error))
                if isinstance(error, EngineAbsent):
                    continue
                if asked:
                    message = "two engines went down over this request"
                    raise Refusal(503, message, code="engine_down") from error
                asked = True

    async def _find(self, request: Request, question: Question, *, since: float) -> Route:
        """Return the route of a request's model, and wait for it while it is on its way.

        Nothing else happens between the look that finds it and the return: who counts the request
        at once can be sure that the adapter is still there.

        Raises:
            Refusal: 404, there is none; or what was allowed before the wait is no more.
            NotReady: it did not come in time.
            ClientDisconnect: the client did not wait.
        """
        try:
            while (route := self.directory.route(question.model)) is None:
                question.forget()
                arrival = self.directory.arrival(question.model, since=since, size=question.size)
                await unless_gone(arrival, request)
                await self._check(request, question.model)
        except UnknownModel:
            models = ", ".join(await self._models_for(request))
            raise Refusal(
                404,
                f"the model {question.model!r:.120} does not exist; served here: {models:.600}",
                code="model_not_found",
                param="model",
            ) from None
        return route

    async def _ask_once(
        self, request: Request, question: Question, *, route: Route, stack: contextlib.ExitStack
    ) -> aiohttp.ClientResponse:
        """Ask an engine; `stack` counts the request for as long as its answer takes."""
        with contextlib.ExitStack() as using:
            using.enter_context(self.directory.using(route))
            upstream = await ask_engine(
                self.engine,
                _ENGINE_PATH[question.protocol],
                engine_request(question.body, protocol=question.protocol, route=route),
                route=route,
                client=request,
            )
            stack.enter_context(using.pop_all())
            return upstream

    async def _has_no_engine(self) -> bool:
        return self.directory.engine is EngineState.STARTING or await self.engine.gone()

    async def _check(self, request: Request, model: str) -> None:
        """See to it that whoever asks may ask this model.

        Raises:
            Refusal: 401 or 403; 503 where nobody can say.
        """
        client = await self._client_of(request, models=(model,))
        if not client.may_ask(model):
            raise Refusal(
                403,
                f"this key may not ask {model!r:.120}",
                code="permission_denied",
                param="model",
            )

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
