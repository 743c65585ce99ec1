"""The agent's view of the engine: the few calls it makes over the Unix socket.

vLLM's status codes differ by version, its model list does not lie: callers look at `models()` after
every change.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from nanodex.api.desired import BASE_MODEL_NAME

# The host is never resolved: every connection goes to the socket.
_BASE_URL = "http://engine"
_CONNECT_SECONDS = 5.0
# vLLM closes a connection that was idle for 5 s; a request must not meet that moment.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=1.0)
_CALL_SECONDS = 30.0
# Loading copies weights; parity runs prompts behind whatever users have queued.
_SLOW_CALL_SECONDS = 300.0
_NUMBER = re.compile(r"\d+")


class EngineUnreachable(Exception):
    """The engine is down or answered something that is not its protocol."""


class EngineClient:
    """Calls to vLLM over its Unix socket."""

    def __init__(self, socket: Path) -> None:
        # Answers may take as long as users let them; only connecting is bounded.
        self.http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=_LIMITS),
            base_url=_BASE_URL,
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    async def healthy(self) -> bool:
        """Whether the engine answers and says that it is healthy."""
        try:
            answer = await self.http.get("/health", timeout=_CONNECT_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

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
            answer = await self.http.get("/metrics", timeout=_CALL_SECONDS)
        except httpx.HTTPError:
            return b""
        return answer.content if answer.status_code == 200 else b""

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
        try:
            answer = await self.http.post(path, json=content, timeout=_SLOW_CALL_SECONDS)
        except httpx.HTTPError as error:
            raise EngineUnreachable(f"{path}: {error or type(error).__name__}") from error
        return answer.status_code, answer.text[:500]

    async def _json(
        self, method: str, path: str, *, seconds: float, content: dict[str, Any] | None = None
    ) -> Any:
        try:
            answer = await self.http.request(method, path, json=content, timeout=seconds)
        except httpx.HTTPError as error:
            raise EngineUnreachable(f"{path}: {error or type(error).__name__}") from error
        if answer.status_code != 200:
            raise EngineUnreachable(f"{path} answered {answer.status_code}: {answer.text[:200]}")
        try:
            return answer.json()
        except json.JSONDecodeError as error:
            raise EngineUnreachable(f"{path} answered no JSON: {answer.text[:200]}") from error
