"""One answer of the engine on its way to the client, streamed as it comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from nanodex.inference.audit import Entry
from nanodex.inference.directory import NotReady, Route
from nanodex.inference.engine_client import EngineClient, EngineDying
from nanodex.inference.messages import EventRewriter, Usage, public_answer
from nanodex.inference.metrics import AgentMetrics

Result = TypeVar("Result")


async def ask_engine(
    engine: EngineClient, path: str, content: dict[str, Any], *, route: Route, client: Request
) -> aiohttp.ClientResponse:
    """Send a request; returns when the engine begins to answer.

    A client that goes away before that ends the engine's work by closing the connection.

    Raises:
        NotReady: the engine has lost the adapter, and the next pass loads it again.
        ClientDisconnect: the client has gone.
        EngineAbsent: nobody listens.
        EngineDying: its core is dead.
        EngineUnreachable: no answer.
    """
    upstream = await unless_gone(engine.ask(path, content), client)
    if upstream.status == 404:
        upstream.close()
        raise NotReady(f"{route.public_name} is being loaded again", retry_after=5)
    if upstream.status >= 500 and await engine.gone():
        upstream.close()
        raise EngineDying(f"{path} answered {upstream.status}, and the engine is unhealthy")
    return upstream


def public_stream(
    upstream: aiohttp.ClientResponse,
    *,
    route: Route,
    with_usage: bool,
    entry: Entry,
    metrics: AgentMetrics,
    done: Callable[[], None],
) -> StreamingResponse:
    """Return the response that the client gets.

    Args:
        upstream: the engine's, not read yet.
        route: which model answers.
        with_usage: whether the client wants the token counts of a stream.
        entry: gets the status and the counts.
        metrics: get the counts.
        done: called once when all is over, however it ends.
    """
    media_type = upstream.headers.get("content-type", "application/json")
    metrics.first_byte(route.public_name, time.monotonic() - entry.started)
    metrics.answered(route.public_name, upstream.status)
    entry.status = upstream.status

    async def content() -> AsyncIterator[bytes]:
        usage = Usage()
        try:
            if media_type.startswith("text/event-stream"):
                events = EventRewriter(route=route, usage=usage, with_usage=with_usage)
                # All that has come since the last look, at once.
                async for chunk in upstream.content.iter_any():
                    if public := events.feed(chunk):
                        yield public
                yield events.end()
            else:
                yield public_answer(await upstream.read(), route=route, usage=usage)
        finally:
            entry.prompt_tokens, entry.answer_tokens = usage.prompt, usage.answer
            metrics.spent(route.public_name, prompt=usage.prompt, answer=usage.answer)

    def finish() -> None:
        done()
        upstream.close()

    headers = {"nanodex-digest": route.digest} if route.digest else {}
    if route.commit:
        headers["nanodex-commit"] = route.commit
    return _Streamed(
        content(),
        status_code=upstream.status,
        media_type=media_type,
        headers=headers,
        finish=finish,
    )


class _Streamed(StreamingResponse):
    """A streamed response that cleans up also when its body was never begun."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        *,
        status_code: int,
        media_type: str,
        headers: dict[str, str],
        finish: Callable[[], None],
    ) -> None:
        super().__init__(content, status_code=status_code, media_type=media_type, headers=headers)
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then let go of the engine's."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._finish()


async def unless_gone(work: Coroutine[Any, Any, Result], client: Request) -> Result:
    """Await `work`, but give it up when the client closes its connection.

    Raises:
        ClientDisconnect: it has.
    """
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(client))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return await doing
    finally:
        leaving.cancel()
        doing.cancel()


async def _disconnected(client: Request) -> None:
    while (await client.receive())["type"] != "http.disconnect":
        pass
