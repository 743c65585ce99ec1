"""One real engine behind the agent: first token, throughput with adapters, changes, its death."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from measuring import spread

from nanodex.api.desired import DesiredSet
from nanodex.api.parameters import InferenceConfig
from nanodex.inference import ServedExpert, ServerInfo, running_server
from nanodex.inference.desired import desired_for, read_desired, write_desired
from nanodex.models import BaseModel

REQUESTS = 12
ROUNDS = 3
ANSWER_TOKENS = 32
# Served at once, and as many requests at the same time: one for each adapter.
ADAPTERS = 4
NEW_VERSIONS = 3
_LOOK_SECONDS = 0.05


def figures(
    *, adapter: Path, base_model: BaseModel, scratch: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Start one server with `adapter` under several names and yield figures, each with its name.

    To the engine each name is an adapter of its own, with weights of its own.
    Requests alternate between the ways that are compared, so that both see the same machine.
    """
    experts = [_expert(f"default/bench-{number}", adapter) for number in range(ADAPTERS)]
    config = InferenceConfig(port=0, max_loaded=ADAPTERS + 1)
    started = time.perf_counter()
    # A Unix socket's path must be short; the state of a bench is not kept anyway.
    with running_server(
        config, base_model=base_model.path, experts=experts, state=scratch / "s"
    ) as info:
        yield "start", {"seconds": round(time.perf_counter() - started, 1), "adapters": ADAPTERS}
        names = [expert.name for expert in experts]
        yield "firstToken", _first_tokens(info, expert=names[0])
        yield "throughput", _throughputs(info.url, names)
        yield "newVersion", _new_versions(info, experts, adapter=adapter)
        yield "engineDeath", _engine_death(info, names)


def _expert(name: str, adapter: Path) -> ServedExpert:
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    digest = hashlib.sha256(name.encode() + weights).hexdigest()
    return ServedExpert(name=name, digest=f"sha256:{digest}", folder=adapter)


def _first_tokens(info: ServerInfo, *, expert: str) -> dict[str, Any]:
    socket = httpx.HTTPTransport(uds=str(info.state / "run" / "engine.sock"))
    with (
        httpx.Client(base_url=info.url, timeout=120, trust_env=False) as agent,
        httpx.Client(transport=socket, base_url="http://engine", timeout=120) as engine,
    ):
        ways = {
            "baseThroughAgent": (agent, "base"),
            "baseAtEngine": (engine, "base"),
            "expertThroughAgent": (agent, expert),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(REQUESTS + 1):
            for place, (name, (client, model)) in enumerate(ways.items()):
                taken = _first_piece(client, model, number * len(ways) + place)
                if number:  # The first request of each kind warms up.
                    seconds[name].append(taken)
    first_token = {name: spread(taken) for name, taken in seconds.items()}
    ratio = first_token["baseThroughAgent"]["median"] / first_token["baseAtEngine"]["median"]
    return {"seconds": first_token, "agentTimesEngine": round(ratio, 3)}


def _throughputs(url: str, experts: Sequence[str]) -> dict[str, Any]:
    """Tokens a second of the base model, of one adapter, and of several in one batch."""
    ways = {"base": ["base"], "oneAdapter": experts[:1], "severalAdapters": experts}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, models in ways.items():
            rates[name].append(_tokens_per_second(url, models))
    best = {name: max(measured) for name, measured in rates.items()}
    pairs = [
        several / base
        for several, base in zip(rates["severalAdapters"], rates["base"], strict=True)
    ]
    return {
        "adapters": len(experts),
        "concurrentRequests": ADAPTERS,
        "tokensPerSecond": {
            name: {"best": round(best[name], 1), "all": [round(one, 1) for one in measured]}
            for name, measured in rates.items()
        },
        "oneTimesBase": round(best["oneAdapter"] / best["base"], 3),
        "severalTimesBase": round(best["severalAdapters"] / best["base"], 3),
        "severalTimesBaseByRound": [round(ratio, 3) for ratio in pairs],
    }


def _new_versions(
    info: ServerInfo, experts: Sequence[ServedExpert], *, adapter: Path
) -> dict[str, Any]:
    """Seconds from another desired set to the first answer of what is new in it."""
    path = info.state / "desired.json"
    seconds = []
    for number in range(NEW_VERSIONS):
        new = _expert(f"default/new-{number}", adapter)
        wanted = DesiredSet(experts=(*experts, new))
        started = time.perf_counter()
        write_desired(path, desired_for(wanted, newer_than=read_desired(path)))
        _until_answered(info.url, [new.name])
        seconds.append(time.perf_counter() - started)
    return {"seconds": spread(seconds), "all": [round(one, 2) for one in seconds]}


def _engine_death(info: ServerInfo, names: Sequence[str]) -> dict[str, Any]:
    """Seconds from `kill -9` of the engine's core to an answer of each adapter."""
    engine = json.loads((info.state / "run" / "engine.json").read_text())["pid"]
    children = psutil.Process(engine).children(recursive=True)
    core = next(
        (one.pid for one in children if "EngineCore" in " ".join((one.name(), *one.cmdline()))),
        engine,
    )
    started = time.perf_counter()
    os.kill(core, signal.SIGKILL)
    while _healthy(info.url):
        time.sleep(_LOOK_SECONDS)
    noticed = time.perf_counter() - started
    while not _healthy(info.url):
        time.sleep(_LOOK_SECONDS)
    healthy = time.perf_counter() - started
    _until_answered(info.url, names)
    return {
        "secondsUntilUnhealthy": round(noticed, 2),
        "secondsUntilHealthy": round(healthy, 1),
        "secondsUntilAllAdaptersAnswer": round(time.perf_counter() - started, 1),
        "adapters": len(names),
    }


def _healthy(url: str) -> bool:
    return httpx.get(f"{url}/health", timeout=30, trust_env=False).status_code == 200


def _until_answered(url: str, models: Sequence[str]) -> None:
    for model in models:
        while _complete(url, model, "x", max_tokens=1).status_code != 200:
            time.sleep(_LOOK_SECONDS)


def _question(number: int) -> str:
    # Different in its first word: the engine's prefix cache must not answer for it.
    return f"{number} times: where is the function number {number} defined?"


def _first_piece(client: httpx.Client, model: str, number: int) -> float:
    request = {
        "model": model,
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
    with client.stream("POST", "/v1/chat/completions", json=request) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if taken == 0.0 and _has_content(line):
                taken = time.perf_counter() - started
    return taken


def _has_content(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    return bool(json.loads(line[6:])["choices"][0]["delta"].get("content"))


def _tokens_per_second(url: str, models: Sequence[str]) -> float:
    """Answer tokens a second over some requests at once, in turn to each of `models`."""

    def tokens(number: int) -> int:
        reply = _complete(
            url,
            models[number % len(models)],
            _question(number),
            max_tokens=ANSWER_TOKENS,
            ignore_eos=True,
        )
        reply.raise_for_status()
        return int(reply.json()["usage"]["completion_tokens"])

    started = time.perf_counter()
    with ThreadPoolExecutor(ADAPTERS) as pool:
        total = sum(pool.map(tokens, range(REQUESTS)))
    return total / (time.perf_counter() - started)


def _complete(url: str, model: str, prompt: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "prompt": prompt, "temperature": 0} | fields
    return httpx.post(f"{url}/v1/completions", json=body, timeout=120, trust_env=False)
