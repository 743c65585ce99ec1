"""Memory of an agent that knows many adapters: `nanodex agent` before a stand-in for its engine.

    python -m tests.benchmarks.agent_memory --adapters 200

Each adapter is fetched from a store, checked and proved; eight are in the engine at a time. Their
weights are small: an agent reads the header of a file and never its tensors.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
from nanodex.inference.desired import write_desired
from tests.engine_stand_in import StandIn, write_adapter, write_base_model

RESIDENT = 8
# As training stores them.
PROMPTS = 6
PROMPT_TOKENS = 60
KEY = "nx-0123456789abcdef"
_LOOK_SECONDS = 0.1
_LIMIT_SECONDS = 600.0


def figures(adapters: int, *, root: Path) -> dict[str, Any]:
    """Return the megabytes of an agent with no adapter and with `adapters` of them."""
    experts = _published(adapters, root=root)
    with _engine(root / "e.sock"), _agent(root) as (process, status, answers):
        _until(lambda: status()["engine"] == "ready")
        before = process.memory_info().rss
        started = time.monotonic()
        write_desired(root / "set.json", DesiredSet(generation=1, experts=experts))
        peak = [before]

        def all_are_known() -> bool:
            peak.append(process.memory_info().rss)
            states = [one["state"] for one in status()["adapters"]]
            return len(states) == adapters and not {"pending", "quarantined"} & set(states)

        _until(all_are_known)
        proved = time.monotonic() - started
        after = process.memory_info().rss
        # Back from the disk, in the place of another.
        back = min(_timed(lambda one=one: answers(one.name)) for one in experts[:3])
        return {
            "adapters": adapters,
            "loadedAtOnce": RESIDENT,
            "megabytesWithNone": _megabytes(before),
            "megabytesWithAll": _megabytes(after),
            "megabytesPeak": _megabytes(max(*peak, after)),
            "secondsUntilAllProved": round(proved, 1),
            "secondsUntilOneIsBack": round(back, 2),
        }


def _published(count: int, *, root: Path) -> tuple[ServedExpert, ...]:
    store = open_store(str(root / "store"))
    prompts = [
        [number + PROMPT_TOKENS * prompt for number in range(PROMPT_TOKENS)]
        for prompt in range(PROMPTS)
    ]
    experts = []
    for number in range(count):
        folder = root / "artifacts" / f"{number}"
        # A byte: weights of the stand-in differ by it.
        write_adapter(folder / "adapter", seed=number % 255 + 1, prompts=prompts)
        (folder / "adapter" / "adapter_config.json").open("a").write(" " * (number // 255))
        key = hashlib.sha256(str(number).encode()).hexdigest()
        manifest = publish(
            folder, store=store, stage=StageName.TRAIN, key=key, scope="team"
        ).manifest
        name = f"team/expert-{number}"
        experts.append(ServedExpert(name=name, digest=manifest.digest, key=key, commit="c" * 40))
    return tuple(experts)


@contextlib.contextmanager
def _engine(path: Path) -> Iterator[None]:
    """A stand-in for vLLM in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.agent_memory", "--engine", str(path)]
    )
    try:
        _until(lambda: path.exists() or process.poll() is not None)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _agent(
    root: Path,
) -> Iterator[tuple[psutil.Process, Callable[[], Any], Callable[[str], None]]]:
    (root / "model").mkdir()
    write_base_model(root / "model")
    (root / "keys").mkdir()
    (root / "keys" / "bench").write_text(f"{KEY} *\n")
    write_desired(root / "set.json", DesiredSet())
    port, private = _free_ports()
    nanodex = Path(sys.executable).with_name("nanodex")
    with (root / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(nanodex), "agent", f"--desired-set={root / 'set.json'}",
                f"--keys={root / 'keys'}", f"--engine-socket={root / 'e.sock'}",
                f"--base-model={root / 'model'}", "--base-model-uri=bench",
                f"--store={root / 'store'}", f"--adapters={root / 'adapters'}",
                f"--drain={root / 'drain'}", "--device=cpu", "--parity-limit=0.005",
                f"--resident={RESIDENT}", f"--port={port}", f"--private-port={private}",
                "--settle-seconds=0",
            ],
            stdout=log,
            stderr=log,
        )  # fmt: skip
    with httpx.Client(timeout=30, trust_env=False) as http:

        def status() -> Any:
            with contextlib.suppress(httpx.ConnectError):
                return http.get(f"http://127.0.0.1:{private}/status").json()
            return {"engine": "", "adapters": []}

        def answers(model: str) -> None:
            http.post(
                f"http://127.0.0.1:{port}/v1/completions",
                json={"model": model, "prompt": "x"},
                headers={"Authorization": f"Bearer {KEY}"},
            ).raise_for_status()

        try:
            yield psutil.Process(process.pid), status, answers
        finally:
            process.terminate()
            process.wait()


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        return [one.getsockname()[1] for one in sockets]


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the agent did not get there")
        time.sleep(_LOOK_SECONDS)


def _megabytes(size: int) -> float:
    return round(size / 1e6, 1)


def main() -> None:
    """Measure, or be the engine of a measurement."""
    # An end by signal unwinds, so that what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=200)
    parser.add_argument("--engine", help="be the stand-in that listens at this path")
    arguments = parser.parse_args()
    if arguments.engine:
        app = StandIn().app()
        asyncio.run(
            uvicorn.Server(uvicorn.Config(app, uds=arguments.engine, log_config=None)).serve()
        )
        return
    # A Unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="nx-") as folder:
        json.dump(figures(arguments.adapters, root=Path(folder)), sys.stdout)


if __name__ == "__main__":
    main()
