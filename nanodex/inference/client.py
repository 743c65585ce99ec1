"""Ask a served expert a question, over the protocol that every OpenAI client speaks."""

import ipaddress
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NanodexError, TryAgain, UserError

_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
_DATA = "data:"
_DONE = "[DONE]"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an answer comes from, as the server's headers say it.

    Attributes:
        digest: of the adapter; empty for the base model, or where the server does not say.
        commit: that the adapter has learned; empty where the server does not say.
    """

    digest: str
    commit: str


def ask(
    url: str,
    model: str,
    question: str,
    *,
    system: str | None = None,
    stream: bool = True,
    max_tokens: int = 256,
    api_key: str = "",
    on_origin: Callable[[Origin], None] = lambda _: None,
) -> Iterator[str]:
    """Yield the answer to `question`, piece by piece as it comes, or whole.

    Args:
        url: address of the server, with or without /v1.
        model: public model name, for example default/parcelry.
        question: the user's message.
        system: system message; None leaves it to the server, which knows the expert's own.
        stream: False yields the whole answer at once.
        max_tokens: longest answer.
        api_key: sent as a bearer token where given.
        on_origin: told what the answer comes from, before its first piece.

    Raises:
        UserError: the server does not have the model, or refuses the request.
        TryAgain: the server cannot be reached or is not ready.
    """
    messages = [{"role": "system", "content": system}] if system is not None else []
    request = {
        "model": model,
        "messages": [*messages, {"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": stream,
    }
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    address = url.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
    try:
        # A proxy for the internet is not asked the way to this machine.
        with (
            httpx.Client(timeout=_TIMEOUT, headers=headers, trust_env=not _is_local(url)) as client,
            client.stream("POST", address, json=request) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer, model=model)
            on_origin(
                Origin(
                    digest=answer.headers.get("nanodex-digest", ""),
                    commit=answer.headers.get("nanodex-commit", ""),
                )
            )
            if stream:
                yield from _pieces(answer)
            else:
                yield str(json.loads(answer.read())["choices"][0]["message"]["content"] or "")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TryAgain(
            f"no server answers at {url}: {error or type(error).__name__}",
            reason=Reason.SERVER_UNAVAILABLE,
            hint="start it with: nanodex serve",
            exit_code=ExitCode.SERVER_UNAVAILABLE,
        ) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _not_understood(url) from error


def _pieces(answer: httpx.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if not line.startswith(_DATA):
            continue
        data = line.removeprefix(_DATA).strip()
        if data == _DONE:
            return
        chunk: dict[str, Any] = json.loads(data)
        if "error" in chunk:
            raise _broken_off(str(chunk["error"]))
        for choice in chunk["choices"]:
            if piece := choice["delta"].get("content"):
                yield str(piece)
    raise _broken_off("the connection was closed")


def _refusal(answer: httpx.Response, *, model: str) -> NanodexError:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text[:300]
    if answer.status_code >= 500:
        return TryAgain(
            message or f"the server answered {answer.status_code}",
            reason=Reason.SERVER_UNAVAILABLE,
            hint="try again in a moment; the server's log says what it is doing",
            exit_code=ExitCode.SERVER_UNAVAILABLE,
        )
    if answer.status_code in (401, 403):
        return UserError(
            message or f"the server answered {answer.status_code}",
            reason=Reason.AUTHENTICATION_FAILED,
            hint="put a key that may ask this model into NANODEX_API_KEY",
            exit_code=ExitCode.AUTHENTICATION_FAILED,
        )
    if answer.status_code == 404:
        return UserError(
            message or f"the server does not have {model}",
            reason=Reason.MODEL_UNAVAILABLE,
            hint="GET /v1/models lists what is served; nanodex serve adds an expert",
        )
    return UserError(
        message or f"the server answered {answer.status_code}",
        reason=Reason.INVALID_INPUT,
        hint="a question must fit into the server's maxModelLen",
    )


def _broken_off(why: str) -> TryAgain:
    return TryAgain(
        f"the answer broke off: {why}",
        reason=Reason.SERVER_UNAVAILABLE,
        hint="ask again; if it happens again read the server's log",
        exit_code=ExitCode.SERVER_UNAVAILABLE,
    )


def _not_understood(url: str) -> UserError:
    return UserError(
        f"what answers at {url} does not speak the OpenAI protocol",
        reason=Reason.INVALID_INPUT,
        hint="give the address that nanodex serve printed",
    )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
