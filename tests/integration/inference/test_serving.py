"""One real vLLM, real adapters on the embedded model, and everything a user or an attacker does.

The tests run in the order in which they stand here: the last ones end the engine and replace what
is served. One start of vLLM takes one to three minutes on two cores.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.inference import AdapterState, ServedExpert, ask, find_server, start_detached, stop
from nanodex.inference.calibration import measured, with_damage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

QUESTION = "Where is Ledger.post defined?"


def complete(served: Any, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "prompt": QUESTION, "max_tokens": 20, "temperature": 0} | fields
    return httpx.post(f"{served.info.url}/v1/completions", json=body, timeout=400)


def text(served: Any, model: str) -> str:
    answer = complete(served, model)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def chat(served: Any, model: str, messages: list[dict[str, str]]) -> Any:
    body = {"model": model, "messages": messages, "max_tokens": 8, "temperature": 0}
    answer = httpx.post(f"{served.info.url}/v1/chat/completions", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_start_said_what_it_waited_for(served: Any) -> None:
    assert "vLLM: importing vLLM" in served.progress.messages
    assert "vLLM: starting the worker process" in served.progress.messages


def test_each_adapter_answers_for_itself(served: Any) -> None:
    answers = {model: text(served, model) for model in ("base", "team/good", "team/other")}

    assert len(set(answers.values())) == 3, answers


def test_a_version_can_be_named_and_is_named_in_the_answer(served: Any) -> None:
    pinned = complete(served, "team/good").json()["model"]

    assert pinned == "team/good@000000000001"
    assert text(served, pinned) == text(served, "team/good")


def test_an_answer_streams_and_is_the_same_as_whole(served: Any) -> None:
    pieces = list(ask(served.info.url, "team/good", QUESTION, max_tokens=8))
    whole = list(ask(served.info.url, "team/good", QUESTION, max_tokens=8, stream=False))

    assert len(pieces) > 2
    assert "".join(pieces) == "".join(whole)


def test_a_plain_question_is_asked_under_the_adapters_own_system_message(served: Any) -> None:
    user = {"role": "user", "content": QUESTION}
    system = {"role": "system", "content": "You are the expert on the repository parcelry."}

    plain = chat(served, "team/good", [user])
    explicit = chat(served, "team/good", [system, user])

    assert plain["choices"][0]["message"] == explicit["choices"][0]["message"]
    assert plain["usage"]["prompt_tokens"] == explicit["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        ("learned-nothing", Reason.LOAD_REJECTED, "answers as the base model does"),
        ("wrong-layers", Reason.LOAD_REJECTED, "differ by"),
        ("wrong-prefix", Reason.NOT_SERVABLE, "belongs to no linear layer"),
        ("rank-too-high", Reason.RANK_TOO_HIGH, "rank 64 is above"),
        ("dora", Reason.NOT_SERVABLE, "DoRA"),
        ("truncated", Reason.NOT_SERVABLE, "bytes of tensors"),
        ("pickled", Reason.NOT_SERVABLE, "unpickled"),
    ],
)
def test_a_bad_adapter_is_reported_and_never_answers(
    served: Any, name: str, reason: Reason, says: str
) -> None:
    reported = {adapter.name: adapter for adapter in served.info.quarantined}[f"team/{name}"]

    assert reported.reason is reason
    assert says in reported.message
    assert complete(served, f"team/{name}").status_code == 503
    assert f"team/{name}" not in served.info.models


def test_an_unknown_model_is_never_answered_by_the_base_model(served: Any) -> None:
    for model in ("team/nobody", "team.good--000000000001", "/models/smol", ""):
        answer = complete(served, model)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"


# The engine's own paths, and ways to write them that a router could tidy up.
ADMIN = (
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters", "/adapters/base",
    "/invocations", "/tokenize", "/detokenize", "/load", "/docs", "/redoc", "/openapi.json",
    "/version", "/ping", "/v1/responses", "/v1/messages", "/scale_elastic_ep", "/sleep",
    "/v1/chat/completions/render", "/v1/completions/../load_lora_adapter",
    "/v1%2Fload_lora_adapter", "/v1/%6Coad_lora_adapter", "//v1/load_lora_adapter",
    "/v1//models", "/v1/models/", "/v1/models/base", "/./v1/models", "/health/../adapters",
    "http://engine/v1/load_lora_adapter", "http://engine/v1/completions/../load_lora_adapter",
)  # fmt: skip


@pytest.mark.parametrize("target", ADMIN)
def test_the_engines_own_paths_do_not_exist(served: Any, target: str) -> None:
    host, port = served.info.url.removeprefix("http://").split(":")
    body = json.dumps({"lora_name": "x", "lora_path": "/etc", "model": "base"})
    for method in ("GET", "POST", "DELETE"):
        request = (
            f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(request.encode())
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
        assert b'{"error":{"message":' in answer


def test_an_adapter_cannot_be_loaded_through_a_request(served: Any, adapters: Any) -> None:
    complete(served, "base", lora_path=str(adapters.later), lora_name="mine", lora_request={})

    models = httpx.get(f"{served.info.url}/v1/models").json()["data"]
    assert [card["id"] for card in models] == list(served.info.models)
    assert models[0]["id"] == "base"


def test_the_base_model_is_itself_beside_adapter_traffic_in_every_slot(served: Any) -> None:
    alone = text(served, "base")

    models = ["base", "team/good", "base", "team/other", "base"]
    with ThreadPoolExecutor(len(models)) as pool:
        together = list(pool.map(lambda model: text(served, model), models))

    assert [together[index] for index in (0, 2, 4)] == [alone] * 3
    command = " ".join(psutil.Process(_engine(served).pid).cmdline())
    assert "--max-loras 5 " in command


def test_log_probabilities_in_a_batch_with_adapters_leave_the_engine_alive(served: Any) -> None:
    # All of the prompt's, as the agent asks for them itself when it proves an adapter.
    asked = {"echo": True, "logprobs": 1, "max_tokens": 4}
    models = ["team/good", "base", "team/other", "base"] * 2
    engine = _engine(served).pid
    alone = {model: complete(served, model, **asked).json() for model in set(models)}

    with ThreadPoolExecutor(2 * len(models)) as pool:
        plain = [pool.submit(text, served, model) for model in models]
        together = list(pool.map(lambda model: complete(served, model, **asked), models))
        assert all(answer.result() for answer in plain)

    for model, answer in zip(models, together, strict=True):
        assert answer.status_code == 200, answer.text
        values = _logprobs(answer.json())
        assert len(values) > 10
        assert values == pytest.approx(_logprobs(alone[model]), abs=1e-2)
    assert _engine(served).pid == engine


def _logprobs(answer: Any) -> list[float]:
    return list(answer["choices"][0]["logprobs"]["token_logprobs"][1:])


def test_the_socket_lies_in_a_folder_that_others_cannot_enter(served: Any) -> None:
    assert (served.state / "run").stat().st_mode & 0o777 == 0o700
    assert (served.state / "run" / "engine.sock").is_socket()


def test_a_second_server_cannot_use_the_same_state(served: Any, base_model: Path) -> None:
    from nanodex.inference import running_server

    with pytest.raises(UserError, match="already uses"):
        with running_server(served.config, base_model=base_model, experts=[], state=served.state):
            pass


def _engine(served: Any) -> psutil.Process:
    return psutil.Process(json.loads((served.state / "run" / "engine.json").read_text())["pid"])


def test_an_engine_that_was_killed_comes_back_and_who_asks_meanwhile_waits(served: Any) -> None:
    before = text(served, "team/good")
    first = _engine(served)
    for process in first.children(recursive=True):
        if "EngineCore" in process.name() or "EngineCore" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            break
    else:
        os.kill(first.pid, signal.SIGKILL)
    with ThreadPoolExecutor() as clients:
        # The API of a dead core answers for some seconds: the first of these meets it.
        asked = []
        for _ in range(5):
            asked.append(clients.submit(complete, served, "team/good"))
            time.sleep(0.5)
        assert [one.result().status_code for one in asked] == [200] * 5

    assert _engine(served).pid != first.pid
    assert text(served, "team/good") == before
    assert complete(served, "team/dora").status_code == 503


def test_a_running_server_takes_other_experts_without_a_new_start(
    served: Any, base_model: Path, adapters: Any, make_expert: Callable[..., ServedExpert]
) -> None:
    engine = _engine(served).pid
    old, other = text(served, "team/good"), text(served, "team/other")

    started = time.monotonic()
    info = start_detached(
        served.config,
        base_model=base_model,
        experts=[
            make_expert("good", adapters.later, 99),
            make_expert("other", adapters.other, 2),
        ],
        state=served.state,
    )
    print(f"\nnew weights under an old name: {time.monotonic() - started:.1f} s")

    assert info.pid == served.info.pid
    assert _engine(served).pid == engine
    assert [adapter.state for adapter in info.adapters] == [AdapterState.LOADED] * 2
    assert complete(served, "team/good").json()["model"] == f"team/good@{99:012x}"
    assert text(served, "team/good") != old
    assert text(served, "team/other") == other


def test_a_limit_is_calibrated_between_the_right_adapter_and_a_damaged_one(
    served: Any,
    base_model: Path,
    adapters: Any,
    make_expert: Callable[..., ServedExpert],
    tmp_path: Path,
) -> None:
    right = make_expert("good", adapters.later, 99)
    damaged = with_damage(right, folder=tmp_path / "damaged")
    experts = [right, make_expert("other", adapters.other, 2)]
    info = start_detached(
        served.config, base_model=base_model, experts=[*experts, damaged], state=served.state
    )

    found = measured(info, expert=right, damaged=damaged, dtype="float32")

    assert found.right < 0.005 < found.damaged < found.base
    assert found.base_itself < 0.005
    assert found.right < float(found.parity_limit) < found.damaged
    start_detached(served.config, base_model=base_model, experts=experts, state=served.state)


def test_metrics_are_told_by_expert(served: Any) -> None:
    metrics = httpx.get(f"{served.info.url}/metrics").text

    assert f'nanodex_adapter_resident{{model="team/good@{99:012x}"}} 1.0' in metrics
    assert "nanodex_engine_restarts_total 1.0" in metrics
    assert "vllm:" in metrics


def test_stopping_leaves_no_process_and_no_socket(served: Any) -> None:
    processes = [_engine(served), *_engine(served).children(recursive=True)]

    assert stop(served.state) is True

    assert not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )
    assert not (served.state / "run" / "engine.sock").exists()
    assert find_server(served.state) is None
    assert stop(served.state) is False
