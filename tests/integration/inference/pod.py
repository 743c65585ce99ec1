"""A ModelServer's Pod without a kubelet: the commands of the manifest as processes.

What a kubelet does is done here by hand: it starts the agent, then the engine, starts either again
when it ends, exchanges mounted files, and runs the hooks before it sends a signal.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from nanodex_operator.manifests.engine_pod import build_deployment
from nanodex_operator.settings import Settings

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.model_server import ModelServer
from tests.integration.inference.container import Container

KEY = "nx-0123456789abcdef"
QUESTION = "Where is Ledger.post defined?"
SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://bucket/prefix",
    nanodex_image="-",
    trainer_image="-",
    engine_image="-",
)
SERVER = ModelServer.model_validate(
    {
        "metadata": {"name": "smol"},
        "spec": {
            "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
            "adapters": {"maxLoaded": 2, "maxRank": 32},
            "engine": {
                "maxModelLen": 512,
                "extraArgs": ["--kv-cache-memory-bytes", str(128 << 20)],
            },
        },
    }
)


class Pod:
    """A Pod of the Deployment that the operator builds."""

    def __init__(self, root: Path, base_model: Path) -> None:
        self.root = root
        self.ports = free_ports(2)
        for name in ("run", "adapters", "keys", "desired", "model", "tmp"):
            (root / name).mkdir()
        (root / "model" / "current").symlink_to(base_model)
        self.mount("keys", "ci", f"{KEY} *\n")
        self.mount("desired", "set.json", DesiredSet().encode().decode())
        spec = build_deployment(server=SERVER, uid="u", settings=SETTINGS)["spec"]["template"]
        (engine,) = spec["spec"]["containers"]
        *_, agent = spec["spec"]["initContainers"]
        self.specs = {"engine": engine, "agent": agent}
        self.agent = Container(agent, at=self.at, log=root / "agent.log")
        self.engine = Container(engine, at=self.at, log=root / "engine.log")

    def end(self) -> None:
        """End what has not ended yet, the engine first."""
        for container in (self.engine, self.agent):
            container.end()

    def at(self, word: str) -> str:
        """A word of the manifest as it reads on this machine."""
        for inside, outside in {
            "/run/engine": "run", "/etc/nanodex/desired": "desired", "/etc/nanodex/keys": "keys",
            "/adapters": "adapters", "/model": "model", "/tmp": "tmp",
        }.items():  # fmt: skip
            if word.startswith(inside) or f"={inside}" in word or f" {inside}/" in word:
                word = word.replace(inside, str(self.root / outside))
                break
        word = word.replace(SETTINGS.store, str(self.root / "store"))
        for option, port in zip(("--port=", "--private-port="), self.ports, strict=True):
            if word.startswith(option):
                return f"{option}{port}"
        if word == "nanodex":
            return str(Path(sys.executable).with_name("nanodex"))
        return sys.executable if word == "python3" else word

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def mount(self, folder: str, name: str, text: str) -> None:
        """Exchange a mounted file as the kubelet does."""
        at = self.root / folder
        version = Path(tempfile.mkdtemp(dir=at, prefix=".."))
        (version / name).write_text(text)
        (at / "..tmp").symlink_to(version.name)
        (at / "..tmp").rename(at / "..data")
        if not (at / name).is_symlink():
            (at / name).symlink_to(f"..data/{name}")

    def want(self, generation: int, *experts: ServedExpert) -> None:
        desired = DesiredSet(generation=generation, experts=experts)
        self.mount("desired", "set.json", desired.encode().decode())

    def hook(self, name: str) -> "subprocess.Popen[bytes]":
        command = self.specs[name]["lifecycle"]["preStop"]["exec"]["command"]
        return subprocess.Popen([self.at(word) for word in command])

    def probe(self, name: str) -> int:
        command = self.specs["engine"][name]["exec"]["command"]
        return subprocess.run(
            [self.at(word) for word in command], capture_output=True, check=False
        ).returncode

    def status(self) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.ports[1]}/status", timeout=10)
        return answer.json()

    def settled(self, generation: int) -> bool:
        """Whether the agent has looked at this set and nothing of it is on its way any more."""
        status = self.status()
        states = {one["state"] for one in status["adapters"]}
        return status["generation"] == generation and "pending" not in states

    def states(self) -> dict[str, tuple[str, str]]:
        """State and message of each version, by its name."""
        return {
            f"{one['name']}@{one['digest'][7:19]}": (one["state"], one["message"])
            for one in self.status()["adapters"]
        }

    def complete(self, model: str, *, key: str = KEY, **fields: Any) -> httpx.Response:
        body = {"model": model, "prompt": QUESTION, "max_tokens": 16, "temperature": 0} | fields
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{self.url}/v1/completions", json=body, headers=headers, timeout=400)

    def text(self, model: str) -> str:
        return str(self.patiently(model)["choices"][0]["text"])

    def patiently(self, model: str) -> Any:
        """The answer of a client that comes back when it is told to."""
        for _ in range(5):
            answer = self.complete(model)
            if answer.status_code != 503:
                break
            time.sleep(int(answer.headers["retry-after"]))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=10).status_code == 200
        return False

    def at_engine(self) -> httpx.Client:
        """A client of the engine itself, past the agent."""
        transport = httpx.HTTPTransport(uds=str(self.root / "run" / "engine.sock"))
        return httpx.Client(transport=transport, base_url="http://engine", timeout=30)

    def under_way(self) -> int:
        """How many requests the engine computes right now."""
        with self.at_engine() as engine:
            found = re.findall(
                r"^vllm:num_requests_running\{.*\} (.+)$", engine.get("/metrics").text, re.M
            )
        return int(sum(map(float, found)))

    def slots(self) -> list[int]:
        """Adapters whose weights the engine holds, whatever names it knows."""
        with self.at_engine() as engine:
            answer = engine.post("/collective_rpc", json={"method": "list_loras"})
        (numbers,) = answer.json()["results"]
        return sorted(int(number) for number in numbers)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition: Callable[[], Any], *, seconds: float = 300.0) -> float:
    """Wait for `condition`; returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.2)
    return time.monotonic() - started


@contextlib.contextmanager
def running_pod(base_model: Path) -> Iterator[Pod]:
    """Start a Pod and wait until it is ready; it ends with the block."""
    # A Unix socket's path must be short.
    root = Path(tempfile.mkdtemp(prefix="nx-"))
    running = Pod(root, base_model)
    started = time.monotonic()
    running.agent.start()
    until(lambda: _listens(running.ports[1]), seconds=120)
    running.engine.start()
    try:
        until(running.healthy, seconds=600)
        print(f"\nfrom the start of the containers to ready: {time.monotonic() - started:.0f} s")
        yield running
    finally:
        running.end()
        shutil.rmtree(root, ignore_errors=True)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
