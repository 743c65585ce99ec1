"""A fast stand-in for vLLM behind a real Unix socket, and adapters for it written by hand.

The stand-in answers what vLLM 0.32 was seen to answer; tests/integration/inference asks the real
one the same things.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nanodex.api.records import ParityPrompt
from tests.adapter_card import write_card

SYSTEM = "You are the expert on parcelry."
LINEAR = {
    "model.layers.0.self_attn.q_proj": (8, 8),
    "model.layers.0.mlp.down_proj": (8, 16),
}
TOKENS = (3, 5, 7, 11)


def base_logprobs(tokens: Sequence[int]) -> tuple[float, ...]:
    """What the base model says of a prompt."""
    return tuple(-1.0 - number % 3 for number in range(len(tokens) - 1))


def adapter_logprobs(seed: int, tokens: Sequence[int]) -> tuple[float, ...]:
    """What an adapter that was written with `seed` says of a prompt."""
    return tuple(value - 1.0 - 0.25 * seed for value in base_logprobs(tokens))


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], *, fill: int = 0) -> None:
    header: dict[str, Any] = {}
    offset = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {
            "dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size],
        }  # fmt: skip
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes([fill]) * offset)


def lora_shapes(rank: int, prefix: str = "base_model.model.") -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for module, (outputs, inputs) in LINEAR.items():
        shapes[f"{prefix}{module}.lora_A.weight"] = (rank, inputs)
        shapes[f"{prefix}{module}.lora_B.weight"] = (outputs, rank)
    return shapes


def write_adapter(
    folder: Path,
    *,
    seed: int = 1,
    rank: int = 8,
    prompts: Sequence[Sequence[int]] = (TOKENS,),
    **config: Any,
) -> Path:
    """Write an adapter of rank `rank` for LINEAR; its weights are the byte `seed`, all over."""
    folder.mkdir(parents=True)
    fields = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    write_safetensors(folder / "adapter_model.safetensors", lora_shapes(rank), fill=seed)
    parity = [
        ParityPrompt(
            tokens=tuple(tokens),
            logprobs=adapter_logprobs(seed, tokens),
            base_logprobs=base_logprobs(tokens),
        )
        for tokens in prompts
    ]
    write_card(folder, system=SYSTEM, rank=rank, parity=parity)
    return folder


def write_base_model(folder: Path) -> None:
    """Write a base model's folder with the layers in LINEAR."""
    sizes = {"num_attention_heads": 2, "num_hidden_layers": 1, "hidden_size": 8}
    (folder / "config.json").write_text(json.dumps(sizes))
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": s for name, s in LINEAR.items()}
    write_safetensors(folder / "model.safetensors", shapes)


class StandIn:
    """What vLLM does, as far as the agent can see; remembers every request."""

    def __init__(self) -> None:
        self.adapters: dict[str, str] = {}
        self.requests: list[tuple[str, Any]] = []
        self.healthy = True
        # Engine names whose weights are ignored, as with a wrong key prefix.
        self.ignored: set[str] = set()
        self.crashes_on: set[str] = set()
        # Numbers of the adapters whose weights it holds, by engine name; unloading keeps them.
        self.slots: dict[str, int] = {}
        self.most_slots = 0
        self.loads = 0
        # Engine names that it no longer knows.
        self.lost: set[str] = set()
        # Set by a test that wants an answer to take its time.
        self.hold = asyncio.Event()
        self.hold.set()
        self.aborted = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
                Route("/collective_rpc", self._control, methods=["POST"]),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    def asked(self, path: str) -> list[Any]:
        return [body for asked, body in self.requests if asked == path]

    async def _health(self, _: Request) -> Response:
        return Response(status_code=200 if self.healthy else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response("vllm:running 0\n")

    async def _models(self, _: Request) -> Response:
        cards = [{"id": name, "root": root} for name, root in self.adapters.items()]
        return JSONResponse({"data": [{"id": "base", "root": "/base"}, *cards]})

    async def _load(self, request: Request) -> Response:
        body = await self._remember(request)
        self.adapters[body["lora_name"]] = body["lora_path"]
        self.loads += 1
        self.slots[body["lora_name"]] = self.loads
        self.most_slots = max(self.most_slots, len(self.slots))
        return Response("Success")

    async def _unload(self, request: Request) -> Response:
        body = await self._remember(request)
        del self.adapters[body["lora_name"]]
        return Response("Success")

    async def _control(self, request: Request) -> Response:
        body = await self._remember(request)
        if body["method"] == "list_loras":
            return JSONResponse({"results": [sorted(self.slots.values())]})
        (number,) = body["args"]
        known = number in self.slots.values()
        self.slots = {name: n for name, n in self.slots.items() if n != number}
        return JSONResponse({"results": [str(known)]})

    async def _completions(self, request: Request) -> Response:
        body = await self._remember(request)
        if body["model"] in self.crashes_on:
            return JSONResponse({"error": {"message": "EngineCore died"}}, status_code=500)
        tokens = body["prompt"] if isinstance(body.get("prompt"), list) else TOKENS
        row = self._row(body["model"], tokens)
        entries = [None] + [
            {str(token): {"logprob": value, "rank": 1}}
            for token, value in zip(tokens[1:], row, strict=True)
        ]
        return JSONResponse({"model": body["model"], "choices": [{"prompt_logprobs": entries}]})

    async def _chat(self, request: Request) -> Response:
        body = await self._remember(request)
        if body["model"] in self.lost:
            return JSONResponse({"error": {"message": "does not exist"}}, status_code=404)
        if body["model"] in self.crashes_on:
            return JSONResponse({"error": {"message": "EngineCore died"}}, status_code=500)
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if not body.get("stream"):
            await self.hold.wait()
            message = {"role": "assistant", "content": "It is here."}
            return JSONResponse(
                {"model": body["model"], "choices": [{"message": message}], "usage": usage}
            )

        async def events() -> AsyncIterator[bytes]:
            try:
                for word in ("It is ", "here."):
                    yield self._event(body["model"], [{"index": 0, "delta": {"content": word}}])
                    await self.hold.wait()
                yield self._event(body["model"], [], usage=usage)
                yield b"data: [DONE]\n\n"
            except asyncio.CancelledError:
                self.aborted += 1
                raise

        return StreamingResponse(events(), media_type="text/event-stream; charset=utf-8")

    def _event(self, model: str, choices: list[Any], usage: Any = None) -> bytes:
        chunk = {"model": model, "choices": choices, "usage": usage}
        return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"

    def _row(self, model: str, tokens: Sequence[int]) -> tuple[float, ...]:
        folder = self.adapters.get(model)
        if folder is None or model in self.ignored:
            return base_logprobs(tokens)
        weights = (Path(folder) / "adapter_model.safetensors").read_bytes()
        return adapter_logprobs(weights[-1], tokens)

    async def _remember(self, request: Request) -> Any:
        body = await request.json()
        self.requests.append((request.url.path, body))
        return body
