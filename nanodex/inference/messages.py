"""Requests on their way to the engine and answers on their way back; pure functions on JSON.

A request is rebuilt from a list of known fields, never passed on: what a client adds (an adapter to
load, a path, a template) does not reach the engine.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from nanodex.inference.directory import Route

Protocol = Literal["chat", "completion"]

_COMMON = frozenset({
    "stream", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "presence_penalty",
    "frequency_penalty", "logit_bias", "logprobs", "user", "top_k", "min_p", "repetition_penalty",
    "min_tokens", "ignore_eos", "stop_token_ids", "skip_special_tokens", "response_format",
})  # fmt: skip
_FIELDS: dict[Protocol, frozenset[str]] = {
    "chat": _COMMON
    | {
        "messages",
        "max_completion_tokens",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
    },
    "completion": _COMMON | {"prompt", "echo", "suffix"},
}
_SYSTEM_ROLES = ("system", "developer")
# Answers that one request may ask for: more of them would pass by the limit of requests.
MAX_ANSWERS = 16


class BadRequest(Exception):
    """The body is not a request of the OpenAI protocol."""


def parse_body(body: bytes) -> dict[str, Any]:
    """Decode a request body.

    Raises:
        BadRequest: not JSON, not an object, no model.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(request, dict):
        raise BadRequest("the body is not a JSON object")
    if not isinstance(request.get("model"), str):
        raise BadRequest("model is missing or not a string")
    return request


def engine_request(request: dict[str, Any], *, protocol: Protocol, route: Route) -> dict[str, Any]:
    """The request that the engine gets.

    An expert was trained with its own system message first, so a chat without one gets it.

    Raises:
        BadRequest: messages that are not text, or more answers than one request may ask for.
    """
    known = {name: value for name, value in request.items() if name in _FIELDS[protocol]}
    if _answers(known) > MAX_ANSWERS:
        raise BadRequest(f"one request may ask for {MAX_ANSWERS} answers: n times prompts")
    known["model"] = route.engine_name
    if known.get("stream") is True:
        # The engine counts tokens at the end of the stream; the chunk is dropped again for clients
        # that did not ask for it.
        known["stream_options"] = {"include_usage": True}
    if protocol == "chat":
        messages = _messages(known.get("messages"))
        if route.system and not any(message["role"] in _SYSTEM_ROLES for message in messages):
            messages = [{"role": "system", "content": route.system}, *messages]
        known["messages"] = messages
    return known


def wants_usage(request: dict[str, Any]) -> bool:
    """Whether the client asked for the token counts of a stream."""
    options = request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _answers(request: dict[str, Any]) -> int:
    """How many answers a request asks for; what is no number is left to the engine to refuse."""
    prompt, number = request.get("prompt"), request.get("n")
    prompts = 1
    # A list of numbers is one prompt, in tokens.
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        prompts = len(prompt)
    return prompts * (number if type(number) is int else 1)


def _messages(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages is missing, empty or not a list")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest("a message has no role")
        content = message.get("content")
        # An image is an address that the engine would fetch.
        if isinstance(content, list) and not all(
            isinstance(part, dict) and part.get("type") == "text" for part in content
        ):
            raise BadRequest("only text can be sent to this model")
    return messages


@dataclass
class Usage:
    """Tokens of one request as the engine counted them."""

    prompt: int = 0
    answer: int = 0

    def read(self, answer: Any) -> bool:
        """Take the counts out of an answer or a chunk; returns whether it held any."""
        usage = answer.get("usage") if isinstance(answer, dict) else None
        if not isinstance(usage, dict):
            return False
        self.prompt = int(usage.get("prompt_tokens") or 0)
        self.answer = int(usage.get("completion_tokens") or 0)
        return True


def public_answer(body: bytes, *, route: Route, usage: Usage) -> bytes:
    """An answer as the client sees it: the public name of the version instead of the engine's."""
    try:
        usage.read(json.loads(body))
    except (ValueError, RecursionError):
        return body
    return _rename(body, route)


class EventRewriter:
    """A stream of server-sent events as the client sees it."""

    def __init__(self, *, route: Route, usage: Usage, with_usage: bool) -> None:
        self._route = route
        self._usage = usage
        self._with_usage = with_usage
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they come; returns the events that are complete."""
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        return b"".join(self._event(event) + b"\n\n" for event in events if self._is_passed(event))

    def end(self) -> bytes:
        """What is left when the engine has ended the stream."""
        return self._rest

    def _is_passed(self, event: bytes) -> bool:
        if b'"usage":{' not in event:
            return True
        try:
            chunk = json.loads(event.removeprefix(b"data: "))
        except (ValueError, RecursionError):
            return True
        only_usage = self._usage.read(chunk) and not chunk.get("choices")
        return self._with_usage or not only_usage

    def _event(self, event: bytes) -> bytes:
        return _rename(event, self._route)


def _rename(text: bytes, route: Route) -> bytes:
    # Inside of a JSON string quotes are escaped, so this can only be the field itself.
    return text.replace(
        b'"model":"' + route.engine_name.encode() + b'"',
        b'"model":"' + route.public_name.encode() + b'"',
        1,
    )
