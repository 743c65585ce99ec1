"""The containers of a ModelServer's Pod as processes: the commands of the manifest, a real vLLM.

What a kubelet does is done here by hand: it starts the agent, then the engine, starts either again
when it ends, exchanges mounted files, and runs the hooks before it sends a signal. The tests run in
the order in which they stand here; the engine is started twice.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from nanodex_operator.manifests.engine_pod import build_deployment
from nanodex_operator.servers import read_report
from nanodex_operator.settings import Settings

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.model_server import ModelServer
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
from nanodex.inference.placement import placed_folder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

KEY = "nx-0123456789abcdef"
OTHER_KEY = "nx-of-another-team-0"
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


class Container:
    """One container of the Pod, started again whenever it ends."""

    def __init__(self, spec: dict[str, Any], *, at: Callable[[str], str], log: Path) -> None:
        words = [*spec["command"], *spec.get("args", [])]
        self._command = [at(word) for word in words]
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")},
            **{one["name"]: at(one["value"]) for one in spec["env"]},
        }
        self._log = log
        self._ended = threading.Event()
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _keep(self) -> None:
        while not self._ended.is_set():
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.starts += 1
            self.process.wait()
            # What is left of a container goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, *, limit_seconds: float = 60.0) -> float:
        """Send SIGTERM and wait; returns the seconds."""
        self._ended.set()
        assert self.process is not None
        started = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self._thread.join(limit_seconds)
        if self._thread.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self._thread.join()
        return time.monotonic() - started


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
        return httpx.post(f"{self.url}/v1/completions", json=body, headers=headers, timeout=120)

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


@pytest.fixture(scope="module")
def pod(base_model: Path) -> Iterator[Pod]:
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
        for container in (running.engine, running.agent):
            container.end()
        shutil.rmtree(root, ignore_errors=True)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def published(pod: Pod, adapters: Any) -> dict[str, ServedExpert]:
    """What training left in the store, by what the adapter is."""
    found = {}
    # The same expert in two versions; an adapter that knows nothing of where it is served.
    named = {
        "good": "good", "later": "good", "other": "other", "third": "third",
        "wrong_prefix": "wrong-prefix", "wrong_layers": "wrong-layers", "truncated": "truncated",
    }  # fmt: skip
    for what, name in named.items():
        folder = pod.root / "artifacts" / what
        folder.mkdir(parents=True)
        source = getattr(adapters, what)
        shutil.copytree(source, folder / "adapter", ignore=shutil.ignore_patterns("README.md"))
        key = hashlib.sha256(what.encode()).hexdigest()
        manifest = publish(
            folder,
            store=open_store(str(pod.root / "store")),
            stage=StageName.TRAIN,
            key=key,
            scope="team",
        ).manifest
        found[what] = ServedExpert(
            name=f"team/{name}", digest=manifest.digest, key=key, commit="c" * 40, rank=8
        )
    return found


def test_two_experts_of_one_mounted_set_answer_for_themselves(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    good, other = published["good"], published["other"]
    pod.want(1, good, other)
    seconds = until(lambda: pod.complete("team/other").status_code == 200)
    print(f"\nfrom the mounted set to the second expert's first answer: {seconds:.1f} s")

    answers = {model: pod.text(model) for model in ("base", "team/good", "team/other")}
    assert len(set(answers.values())) == 3, answers
    answer = pod.complete("team/good")
    assert answer.json()["model"] == good.pinned_name
    assert answer.headers["nanodex-digest"] == good.digest
    assert answer.headers["nanodex-commit"] == "c" * 40


def test_the_probes_of_the_engine_say_that_it_lives(pod: Pod) -> None:
    assert [pod.probe("startupProbe"), pod.probe("livenessProbe")] == [0, 0]


def test_a_bad_adapter_is_refused_and_the_others_go_on(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    bad = {
        "wrong_prefix": "belongs to no linear layer",
        "wrong_layers": "differ by",
        "truncated": "bytes of tensors",
    }
    before = pod.text("team/good")
    pod.want(2, published["good"], published["other"], *(published[what] for what in bad))
    until(lambda: pod.settled(2))

    for what, says in bad.items():
        state, message = pod.states()[published[what].pinned_name]
        assert (state, says in message) == ("quarantined", True), (what, message)
        assert pod.complete(published[what].name).status_code == 503
    assert pod.text("team/good") == before
    report = read_report("pod", json.dumps(pod.status()).encode())
    assert {published["good"].digest, published["other"].digest} == report.loaded
    assert set(report.refused) == {published[what].digest for what in bad}


# The engine's own paths, and ways to write them that a router could tidy up.
TARGETS = (
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters", "/invocations", "/tokenize",
    "/load", "/docs", "/openapi.json", "/version", "/ping", "/v1/responses", "/collective_rpc",
    "/sleep", "/server_info", "/reset_prefix_cache", "/status", "/live",
    "/v1/completions/../load_lora_adapter", "/v1%2Fload_lora_adapter", "//v1/load_lora_adapter",
    "/v1//models", "/v1/models/", "/./v1/models", "/health/../collective_rpc",
    "http://engine/collective_rpc",
)  # fmt: skip


def test_no_path_of_the_engine_exists_whatever_the_key(pod: Pod) -> None:
    body = json.dumps({"method": "list_loras", "model": "base"})
    for target in TARGETS:
        for method in ("GET", "POST"):
            request = (
                f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            )
            with socket.create_connection(("127.0.0.1", pod.ports[0]), timeout=30) as connection:
                connection.sendall(request.encode())
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
            assert answer.startswith(b"HTTP/1.1 404 "), (method, target, answer[:100])


def test_the_engine_answers_on_no_port_of_the_machine(pod: Pod) -> None:
    assert pod.engine.process is not None
    api = psutil.Process(pod.engine.process.pid)
    listening = {
        connection.laddr
        for process in (api, *api.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }

    # torch.distributed's own: the Pod's loopback belongs to the Pod.
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}
    assert not {address.port for address in listening if _speaks_http(address.port)}


def _speaks_http(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=0.5)
        return True
    return False


def test_the_status_codes_of_the_engine_are_those_that_the_agent_reckons_with(
    pod: Pod, adapters: Any
) -> None:
    def known() -> dict[str, str]:
        cards = engine.get("/v1/models").json()["data"]
        return {card["id"]: card["root"] for card in cards if card["id"] != "base"}

    def load(name: str, folder: str) -> int:
        body = {"lora_name": name, "lora_path": folder}
        return engine.post("/v1/load_lora_adapter", json=body).status_code

    before = pod.text("team/good")
    with pod.at_engine() as engine:
        models = known()
        name, folder = next(iter(models.items()))
        assert load(name, folder) == 400
        assert load("nobody", str(pod.root / "nowhere")) == 404
        assert load("cut", str(adapters.truncated)) == 500
        unknown = engine.post("/v1/unload_lora_adapter", json={"lora_name": "nobody"})
        assert unknown.status_code == 404
        # Whatever was said, this does not lie.
        assert known() == models
    assert pod.text("team/good") == before


def test_more_experts_than_fit_all_answer_and_the_base_model_stays_itself(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    alone = pod.text("base")
    good = pod.text("team/good")
    experts = [published[what] for what in ("good", "other", "third")]
    pod.want(3, *experts)
    until(lambda: pod.settled(3))

    for _ in range(2):
        for expert in experts:
            started = time.monotonic()
            assert pod.patiently(expert.name)["model"] == expert.pinned_name
            print(f"\n{expert.name}: {time.monotonic() - started:.1f} s")
            assert pod.text("base") == alone
            # Unloading a name leaves its weights; a third adapter would fill the last slot.
            assert len(pod.slots()) <= 2
    assert pod.text("team/good") == good
    # Two adapters and the base model in one batch: the last slot of the engine is empty.
    together: dict[str, str] = {}
    models = ["team/good", "base", "team/third"]
    threads = [
        threading.Thread(target=lambda m=model: together.update({m: pod.text(m)}))
        for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together["base"] == alone
    assert together["team/good"] == good


def test_a_folder_that_vanishes_takes_nothing_down_and_comes_back_from_the_store(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    texts = {model: pod.text(model) for model in ("team/other", "team/third", "team/good")}
    vanished = placed_folder(pod.root / "adapters", published["good"])
    vanished.chmod(0o700)
    shutil.rmtree(vanished)

    # It is in the engine, goes to make room for two others, and is asked for again.
    for model in ("team/good", "team/other", "team/third", "team/good"):
        assert pod.text(model) == texts[model]

    assert vanished.is_dir()
    assert (pod.engine.starts, pod.status()["restarts"]) == (1, 0)


def test_while_the_store_is_away_the_engine_answers_and_what_is_new_comes_after(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    # For seconds, not for minutes: the agent counts no time of it. It asks again after pauses that
    # end at two minutes, and what is on the disk is not asked for at all.
    old, new = published["good"], published["later"].model_copy(update={"active": False})
    before = pod.text("team/good")
    store, away = pod.root / "store", pod.root / "store-is-away"
    store.rename(away)

    pod.want(4, old, new)
    until(lambda: pod.states().get(new.pinned_name, ("", ""))[1] != "")
    for _ in range(10):
        assert pod.text("team/good") == before
        assert pod.complete(new.pinned_name).status_code == 503
        time.sleep(0.5)
    assert pod.states()[new.pinned_name][0] == "pending"

    shutil.rmtree(store, ignore_errors=True)
    away.rename(store)
    seconds = until(lambda: pod.complete(new.pinned_name).status_code == 200)
    print(f"\nfrom the store's return to the new adapter's first answer: {seconds:.1f} s")
    assert pod.text("team/good") == before


def test_a_name_moves_under_a_steady_stream_without_a_failed_or_mixed_answer(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    old, new = published["good"], published["later"]
    pod.want(5, old)
    until(lambda: set(pod.states()) == {old.pinned_name})
    before = pod.text("team/good")
    stop = threading.Event()
    seen: list[tuple[int, str, str]] = []

    def stream() -> None:
        while not stop.is_set():
            answer = pod.complete("team/good")
            body = answer.json()
            spoken = body["choices"][0]["text"] if answer.status_code == 200 else str(body)
            seen.append((answer.status_code, body.get("model", ""), spoken))

    streams = [threading.Thread(target=stream) for _ in range(3)]
    for one in streams:
        one.start()
    until(lambda: len(seen) >= len(streams))
    pod.want(6, old, new.model_copy(update={"active": False}))
    until(lambda: pod.states().get(new.pinned_name, ("",))[0] == "loaded")
    pod.want(7, new)
    until(lambda: seen[-1][1] == new.pinned_name)
    until(lambda: set(pod.states()) == {new.pinned_name})
    time.sleep(2)
    stop.set()
    for one in streams:
        one.join()

    print(f"\n{len(seen)} answers while the name moved")
    assert {status for status, _, _ in seen} == {200}
    spoken = {model: {text for _, who, text in seen if who == model} for _, model, _ in seen}
    assert set(spoken) == {old.pinned_name, new.pinned_name}
    # Each version gives its one answer; the prefix cache of the old one is not the new one's.
    assert spoken[old.pinned_name] == {before}
    assert spoken[new.pinned_name] == {pod.text("team/good")} != {before}


def test_keys_are_exchanged_while_the_server_runs(pod: Pod) -> None:
    assert pod.complete("base", key=OTHER_KEY).status_code == 401

    pod.mount("keys", "ci", f"{KEY} *\n{OTHER_KEY} team/*\n")

    until(lambda: pod.complete("base", key=OTHER_KEY).status_code == 403, seconds=20)
    assert pod.complete("team/good", key=OTHER_KEY).status_code == 200


def test_an_agent_that_was_killed_finds_its_engine_again(
    pod: Pod, published: dict[str, ServedExpert]
) -> None:
    before = pod.text("team/good")
    engine = pod.engine.process
    assert pod.agent.process is not None
    os.kill(pod.agent.process.pid, signal.SIGKILL)
    until(lambda: pod.agent.starts == 2)
    seconds = until(lambda: pod.healthy() and pod.complete("team/good").status_code == 200)
    print(f"\nfrom the end of the agent to its first answer: {seconds:.1f} s")

    assert pod.engine.process is engine
    assert pod.text("team/good") == before


def test_an_engine_that_was_killed_comes_back_with_its_adapters_and_nobodys_help(pod: Pod) -> None:
    before = pod.text("team/good")
    assert pod.engine.process is not None
    api = psutil.Process(pod.engine.process.pid)
    core = next(
        process
        for process in api.children(recursive=True)
        if "EngineCore" in process.name() or "EngineCore" in " ".join(process.cmdline())
    )
    core.kill()
    until(lambda: not pod.healthy(), seconds=30)
    refused = pod.complete("team/good")
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)

    seconds = until(lambda: pod.healthy() and pod.complete("team/good").status_code == 200)

    print(f"\nfrom the end of the engine to the first answer: {seconds:.0f} s")
    assert pod.engine.starts == 2
    assert pod.text("team/good") == before
    assert pod.status()["restarts"] == 1


def test_agent_and_engine_killed_at_once_come_back_from_the_disk_without_a_store(
    pod: Pod,
) -> None:
    before = pod.text("team/good")
    store, away = pod.root / "store", pod.root / "store-is-away"
    store.rename(away)
    containers = (pod.agent, pod.engine)
    starts = [container.starts for container in containers]
    for container in containers:
        assert container.process is not None
        os.kill(container.process.pid, signal.SIGKILL)
    until(lambda: [one.starts for one in containers] == [count + 1 for count in starts])

    seconds = until(lambda: pod.healthy() and pod.complete("team/good").status_code == 200)

    print(f"\nfrom the end of both to the first answer: {seconds:.0f} s")
    assert pod.text("team/good") == before
    # An agent that starts makes the folder of its store where there is none.
    shutil.rmtree(store, ignore_errors=True)
    away.rename(store)


def test_a_pod_that_ends_answers_what_is_under_way_first(pod: Pod) -> None:
    answers: list[int] = []
    asked = threading.Thread(
        target=lambda: answers.append(
            pod.complete("team/good", max_tokens=100, ignore_eos=True).status_code
        )
    )
    asked.start()
    time.sleep(0.5)
    hooks = [pod.hook(name) for name in ("agent", "engine")]
    until(lambda: not pod.healthy(), seconds=20)
    assert [hook.wait(150) for hook in hooks] == [0, 0]
    asked.join(10)

    assert answers == [200]
    assert pod.complete("team/good").status_code == 503
    print(f"\nthe engine ended in {pod.engine.end():.1f} s, the agent in {pod.agent.end():.1f} s")
    assert pod.agent.process is not None and pod.agent.process.returncode == 0
