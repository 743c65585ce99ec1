"""Seconds to the first token and tokens a second, through the agent and past it."""

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from measuring import spread

from nanodex.api.parameters import InferenceConfig
from nanodex.inference import ServedExpert, ServerInfo, ask, running_server
from nanodex.models import BaseModel

REQUESTS = 12
CONCURRENT = 4
ANSWER_TOKENS = 32
EXPERT = "default/bench"


def figures(*, adapter: Path, base_model: BaseModel, scratch: Path) -> dict[str, Any]:
    """Start one server with `adapter` and measure it.

    Requests alternate between the ways that are compared, so that both see the same machine.
    """
    digest = hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
    expert = ServedExpert(name=EXPERT, digest=f"sha256:{digest}", folder=adapter)
    config = InferenceConfig(port=0)
    started = time.perf_counter()
    # A Unix socket's path must be short; the state of a bench is not kept anyway.
    with running_server(
        config, base_model=base_model.path, experts=[expert], state=scratch / "s"
    ) as info:
        start_seconds = time.perf_counter() - started
        engine = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(info.state / "run" / "engine.sock")),
            base_url="http://engine",
            timeout=120,
        )
        with engine:
            return {"startSeconds": round(start_seconds, 1), **_measured(info, engine)}


def _measured(info: ServerInfo, engine: httpx.Client) -> dict[str, Any]:
    ways: dict[str, Callable[[int], float]] = {
        "baseThroughAgent": lambda number: _first_piece(info.url, "base", number),
        "baseAtEngine": lambda number: _first_piece_at_engine(engine, number),
        "expertThroughAgent": lambda number: _first_piece(info.url, EXPERT, number),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(REQUESTS + 1):
        for name, way in ways.items():
            taken = way(number)
            if number:  # The first request of each kind warms up.
                seconds[name].append(taken)
    first_token = {name: spread(taken) for name, taken in seconds.items()}
    base, expert = (_tokens_per_second(info.url, model) for model in ("base", EXPERT))
    return {
        "firstTokenSeconds": first_token,
        "agentTimesEngine": round(
            first_token["baseThroughAgent"]["median"] / first_token["baseAtEngine"]["median"], 3
        ),
        "baseTokensPerSecond": round(base, 1),
        "expertTokensPerSecond": round(expert, 1),
        "expertTimesBase": round(expert / base, 2),
    }


def _question(number: int) -> str:
    # Different in its first word: the engine's prefix cache must not answer for it.
    return f"{number} times: where is the function number {number} defined?"


def _first_piece(url: str, model: str, number: int) -> float:
    started = time.perf_counter()
    pieces = ask(url, model, _question(number), system="bench", max_tokens=4)
    next(pieces)
    taken = time.perf_counter() - started
    list(pieces)
    return taken


def _first_piece_at_engine(engine: httpx.Client, number: int) -> float:
    request = {
        "model": "base",
        "messages": [
            {"role": "system", "content": "bench"},
            {"role": "user", "content": _question(number)},
        ],
        "max_tokens": 4,
        "temperature": 0,
        "stream": True,
    }
    started = time.perf_counter()
    taken = 0.0
    with engine.stream("POST", "/v1/chat/completions", json=request) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if taken == 0.0 and _has_content(line):
                taken = time.perf_counter() - started
    return taken


def _has_content(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    return bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))


def _tokens_per_second(url: str, model: str) -> float:
    """Answer tokens a second over some requests at once, to the usual end of an answer."""

    def tokens(number: int) -> int:
        reply = httpx.post(
            f"{url}/v1/completions",
            json={
                "model": model,
                "prompt": _question(number),
                "max_tokens": ANSWER_TOKENS,
                "ignore_eos": True,
                "temperature": 0,
            },
            timeout=120,
            trust_env=False,
        )
        reply.raise_for_status()
        return int(reply.json()["usage"]["completion_tokens"])

    started = time.perf_counter()
    with ThreadPoolExecutor(CONCURRENT) as pool:
        total = sum(pool.map(tokens, range(REQUESTS)))
    return total / (time.perf_counter() - started)
