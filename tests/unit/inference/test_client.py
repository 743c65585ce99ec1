"""Asking a question, and what is said when it cannot be answered."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import TryAgain, UserError
from nanodex.inference import ask


async def asked(port: int, model: str = "team/a", **fields: Any) -> list[str]:
    return await asyncio.to_thread(
        lambda: list(ask(f"http://127.0.0.1:{port}", model, "Where?", **fields))
    )


def server(answer: Callable[[Any], Response]) -> Starlette:
    async def handle(request: Request) -> Response:
        return answer(await request.json())

    return Starlette(routes=[Route("/v1/chat/completions", handle, methods=["POST"])])


def stream(*events: str) -> Callable[[Any], Response]:
    async def body() -> AsyncIterator[str]:
        for event in events:
            yield f"data: {event}\n\n"

    return lambda _: StreamingResponse(body(), media_type="text/event-stream")


def piece(text: str) -> str:
    return f'{{"choices": [{{"delta": {{"content": "{text}"}}}}]}}'


async def test_an_answer_comes_in_pieces_or_whole(listen: Any) -> None:
    port = await listen(
        server(stream(piece("It is "), '{"choices": []}', piece("here."), "[DONE]"))
    )
    assert await asked(port) == ["It is ", "here."]

    message = {"choices": [{"message": {"content": "It is here."}}]}
    port = await listen(server(lambda _: JSONResponse(message)))
    assert await asked(port, stream=False) == ["It is here."]


async def test_the_system_message_is_left_to_the_server_unless_given(listen: Any) -> None:
    seen = []

    def remember(body: Any) -> Response:
        seen.append([message["role"] for message in body["messages"]])
        return JSONResponse({"choices": [{"message": {"content": ""}}]})

    port = await listen(server(remember))
    await asked(port, stream=False)
    await asked(port, stream=False, system="Be brief.")

    assert seen == [["user"], ["system", "user"]]


async def test_an_unknown_model_is_the_users_error(listen: Any) -> None:
    error = {"error": {"message": "the model 'team/a' does not exist; served here: base"}}
    port = await listen(server(lambda _: JSONResponse(error, status_code=404)))

    with pytest.raises(UserError, match="served here: base") as caught:
        await asked(port)
    assert caught.value.reason is Reason.MODEL_UNAVAILABLE


async def test_a_server_that_starts_or_is_not_there_may_be_tried_again(listen: Any) -> None:
    error = {"error": {"message": "the engine is starting"}}
    port = await listen(server(lambda _: JSONResponse(error, status_code=503)))
    with pytest.raises(TryAgain, match="the engine is starting"):
        await asked(port)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(TryAgain, match="no server answers") as caught:
        await asked(free)
    assert caught.value.exit_code is ExitCode.SERVER_UNAVAILABLE
    assert "nanodex serve" in caught.value.hint


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(listen: Any) -> None:
    for events in ((piece("It"),), (piece("It"), '{"error": {"message": "died"}}')):
        port = await listen(server(stream(*events)))
        with pytest.raises(TryAgain, match="broke off"):
            await asked(port)


async def test_something_else_that_answers_is_named(listen: Any) -> None:
    port = await listen(server(lambda _: Response("<html>")))

    with pytest.raises(UserError, match="does not speak the OpenAI protocol"):
        await asked(port, stream=False)


async def test_a_proxy_for_the_internet_is_not_asked_for_this_machine(
    listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    port = await listen(server(stream(piece("here"), "[DONE]")))

    assert await asked(port) == ["here"]
