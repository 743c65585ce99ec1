"""The agent's view of the engine: the few calls it makes over the Unix socket.

vLLM's status codes differ by version, its model list does not lie: callers look at `models()` after
every change.
"""

import json
import re
from pathlib import Path
from typing import Any

import aiohttp

from nanodex.api.desired import BASE_MODEL_NAME

# The host is never resolved: every connection goes to the socket.
_BASE_URL = "http://engine"
_CONNECT_SECONDS = 5.0
# vLLM closes a connection that was idle for 5 s; a request must not meet that moment.
_KEEP_IDLE_SECONDS = 1.0
_CALL_SECONDS = 30.0
# Loading copies weights; parity runs prompts behind whatever users have queued.
_SLOW_CALL_SECONDS = 300.0
_NUMBER = re.compile(r"\d+")
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


class EngineUnreachable(Exception):
    """The engine is down or answered something that is not its protocol."""


class EngineAbsent(EngineUnreachable):
    """Nobody listens, so nothing of the request was read."""


class EngineDying(EngineUnreachable):
    """It says itself that its core is dead; it will be gone in seconds."""


class EngineClient:
    """Calls to vLLM over its Unix socket; made on the event loop.

    Streams of many clients pass here in pieces of one token: aiohttp reads them in C, at a fraction
    of what a parser in Python costs.
    """

    def __init__(self, socket: Path) -> None:
        self._http = aiohttp.ClientSession(
            base_url=_BASE_URL,
            # As many requests at once as clients may have.
            connector=aiohttp.UnixConnector(
                path=str(socket), limit=0, keepalive_timeout=_KEEP_IDLE_SECONDS
            ),
            # Answers may take as long as users let them; only connecting is bounded.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def ask(self, path: str, content: dict[str, Any]) -> aiohttp.ClientResponse:
        """Send a request of a client; returns when the engine begins to answer.

        Who gets the response closes it: that ends the engine's work, where it is not done.

        Raises:
            EngineAbsent: nobody listens.
            EngineUnreachable: no answer.
        """
        try:
            try:
                return await self._http.post(path, json=content, allow_redirects=False)
            except aiohttp.ClientConnectorError as error:
                raise EngineAbsent(_said(path, error)) from error
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the engine was just closing; asking twice changes nothing.
                return await self._http.post(path, json=content, allow_redirects=False)
        except _FAILURES as error:
            raise EngineUnreachable(_said(path, error)) from error

    async def healthy(self) -> bool:
        """Whether the engine answers and says that it is healthy."""
        try:
            status, _ = await self._call("GET", "/health", seconds=_CONNECT_SECONDS)
        except EngineUnreachable:
            return False
        return status == 200

    async def gone(self) -> bool:
        """Whether the engine says that it is unhealthy, or nobody listens; slow is neither."""
        try:
            status, _ = await self._call("GET", "/health", seconds=_CONNECT_SECONDS)
        except EngineUnreachable as error:
            return isinstance(error.__cause__, aiohttp.ClientConnectorError)
        return status != 200

    async def models(self) -> dict[str, str]:
        """The adapters that the engine knows: the folder of each, by engine name.

        Raises:
            EngineUnreachable: no valid answer.
        """
        body = await self._json("GET", "/v1/models", seconds=_CALL_SECONDS)
        try:
            return {
                str(card["id"]): str(card.get("root") or "")
                for card in body["data"]
                if card["id"] != BASE_MODEL_NAME
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise EngineUnreachable(f"/v1/models answered {body!r:.200}") from error

    async def load(self, name: str, folder: Path) -> tuple[int, str]:
        """Ask for an adapter; returns the status and what the engine said, for people.

        Raises:
            EngineUnreachable: no answer.
        """
        return await self._change(
            "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)}
        )

    async def unload(self, name: str) -> tuple[int, str]:
        """Forget an adapter's name; its weights stay in their slot.

        Raises:
            EngineUnreachable: no answer.
        """
        return await self._change("/v1/unload_lora_adapter", {"lora_name": name})

    async def slots(self) -> frozenset[int]:
        """Numbers of the adapters whose weights the engine holds; of a CPU engine alone.

        Raises:
            EngineUnreachable: no valid answer.
        """
        # vLLM 0.32 sends the worker's set as a list; others send its text.
        results = await self._control("list_loras")
        return frozenset(int(number) for number in _NUMBER.findall(str(results)))

    async def free_slot(self, number: int) -> None:
        """Drop the weights of an adapter whose name was unloaded.

        Raises:
            EngineUnreachable: no answer.
        """
        await self._control("remove_lora", number)

    async def prompt_logprobs(self, model: str, tokens: tuple[int, ...]) -> tuple[float, ...]:
        """Log-probabilities of `tokens[1:]`, each given the tokens before it; natural logarithm.

        Raises:
            EngineUnreachable: no valid answer.
        """
        body = await self._json(
            "POST",
            "/v1/completions",
            seconds=_SLOW_CALL_SECONDS,
            content={
                "model": model,
                "prompt": list(tokens),
                "max_tokens": 1,
                "temperature": 0,
                "prompt_logprobs": 0,
            },
        )
        try:
            entries = body["choices"][0]["prompt_logprobs"]
            if len(entries) != len(tokens):
                raise ValueError("another number of tokens")
            return tuple(
                float(entry[str(token)]["logprob"])
                for entry, token in zip(entries[1:], tokens[1:], strict=True)
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineUnreachable(f"/v1/completions answered {body!r:.200}") from error

    async def metrics(self) -> bytes:
        """The engine's own metrics in Prometheus' text format; empty while it is down."""
        try:
            status, text = await self._call("GET", "/metrics", seconds=_CALL_SECONDS)
        except EngineUnreachable:
            return b""
        return text if status == 200 else b""

    async def _control(self, method: str, *arguments: int) -> Any:
        """Call a method of the engine's worker and return its results."""
        body = await self._json(
            "POST",
            "/collective_rpc",
            seconds=_CALL_SECONDS,
            content={"method": method, "args": list(arguments)},
        )
        try:
            return body["results"]
        except (KeyError, TypeError) as error:
            raise EngineUnreachable(f"{method} answered {body!r:.200}") from error

    async def _change(self, path: str, content: dict[str, Any]) -> tuple[int, str]:
        status, text = await self._call("POST", path, seconds=_SLOW_CALL_SECONDS, content=content)
        return status, text.decode(errors="replace")[:500]

    async def _json(
        self, method: str, path: str, *, seconds: float, content: dict[str, Any] | None = None
    ) -> Any:
        status, text = await self._call(method, path, seconds=seconds, content=content)
        if status != 200:
            raise EngineUnreachable(f"{path} answered {status}: {text[:200]!r}")
        try:
            return json.loads(text)
        except ValueError as error:
            raise EngineUnreachable(f"{path} answered no JSON: {text[:200]!r}") from error

    async def _call(
        self, method: str, path: str, *, seconds: float, content: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of one call.

        Raises:
            EngineUnreachable: no answer within `seconds`.
        """
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            async with self._http.request(
                method, path, json=content, timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except _FAILURES as error:
            raise EngineUnreachable(_said(path, error)) from error


def _said(path: str, error: BaseException) -> str:
    return f"{path}: {str(error) or type(error).__name__}"
