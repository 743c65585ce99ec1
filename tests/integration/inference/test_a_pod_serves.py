"""What a ModelServer's Pod answers and what it refuses: the manifest's own commands, a real vLLM.

The tests run in the order in which they stand here, and leave three experts served by the Pod of
the session: test_a_pod_survives_faults_and_changes goes on with it.
"""

import contextlib
import json
import socket
import threading
import time
from typing import Any

import httpx
import psutil
import pytest
from nanodex_operator.servers import read_report

from nanodex.api.desired import ServedExpert
from tests.integration.inference.pod import KEY, Pod, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


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
