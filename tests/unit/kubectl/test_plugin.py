"""`kubectl nanodex`: what it shows, what it asks kubectl for, and how it says what went wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.kubectl.conftest import NEW, OLD, StandIn, adapter

Run = Callable[..., Result]
Make = Callable[..., Any]
URL = "http://ms-qwen.nanodex-system.svc:8000/v1"
FORWARDING = "Forwarding from {} -> 8000\n"
FAILED = {
    "name": "train", "state": "Failed", "attempts": 3, "job": "ce-payments-train-5e1f",
    "failure": {"reason": "OOMKilled", "message": "137", "hint": "raise memory"},
}  # fmt: skip
DONE = {"name": "extract", "state": "Succeeded", "job": "ce-payments-extract-00aa"}


def words(text: str) -> str:
    return " ".join(text.split())


def test_status_of_one_shows_stages_versions_and_what_to_do(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    expert = make_expert(
        phase="Failed",
        message="train failed",
        stages=[DONE, FAILED],
        active=adapter(NEW, score="0.71", promotedAt="2026-03-01T10:00:00Z"),
        history=[adapter(OLD)],
        serving={"model": "team-a/payments", "url": URL, "loaded": "2/2"},
    )
    kubectl.answer(expert)

    result = plugin("status", "payments", "-n", "team-a", "--context", "prod")

    assert kubectl.asked == [
        "get codeexperts.nanodex.dev payments --output=json --context=prod --namespace=team-a"
    ]
    said = words(result.stdout)
    for part in (
        "team-a/payments Failed train failed", "on 2/2 replicas", "extract Succeeded",
        "train Failed 3 OOMKilled. 137. raise memory", "active aaaaaaaaaaaa", "0.71",
        "earlier bbbbbbbbbbbb",
    ):  # fmt: skip
        assert part in said, said


def test_status_of_all_is_one_line_each(kubectl: StandIn, plugin: Run, make_expert: Make) -> None:
    expert = make_expert(phase="Training", stage="train", progress="61%", message="epoch 2/3")
    kubectl.answer({"items": [expert]})

    result = plugin("status", "-A")

    assert kubectl.asked == ["get codeexperts.nanodex.dev --all-namespaces --output=json"]
    assert "team-a/payments Training train 61% epoch 2/3" in words(result.stdout)
    assert json.loads(plugin("status", "-o", "json").stdout)["team-a/payments"]["stage"] == "train"


def test_a_cluster_of_a_later_version_can_be_looked_at(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    expert = make_expert(phase="Ready", inventedLater={"x": 1})
    expert["spec"]["training"] = {"inventedLater": True}
    kubectl.answer(expert)

    assert plugin("status", "payments").exit_code == 0


def test_an_expert_that_cannot_be_read_is_no_traceback(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(observedGeneration="many"))

    result = plugin("status", "payments")

    assert result.exit_code == 10
    assert "team-a/payments cannot be read: observedGeneration" in words(result.stderr)


@pytest.mark.parametrize("name", ["--all", "a/b/c", "UPPER", "", "x;id", "-o"])
def test_what_is_no_name_never_reaches_kubectl(kubectl: StandIn, plugin: Run, name: str) -> None:
    result = plugin("promote", "--", name)

    assert result.exit_code == 10
    assert kubectl.asked == []


@pytest.mark.parametrize(
    ("asked", "job"),
    [((), "ce-payments-train-5e1f"), (("extract",), "ce-payments-extract-00aa")],
)
def test_logs_are_those_of_all_pods_of_the_stages_job(
    kubectl: StandIn, plugin: Run, make_expert: Make, asked: Any, job: str
) -> None:
    kubectl.answer(make_expert(stages=[DONE, FAILED]))

    assert plugin("logs", "payments", *asked, "-f").exit_code == 0

    assert kubectl.asked[1] == (
        f"logs --selector=batch.kubernetes.io/job-name={job} --all-containers --prefix --tail=-1 "
        "--max-log-requests=128 --follow --namespace=team-a"
    )


def test_logs_of_a_stage_without_a_job_name_those_that_have_one(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(stages=[DONE, {"name": "train", "state": "Waiting"}]))

    for asked in ((), ("train",)):
        result = plugin("logs", "payments", *asked)
        assert (result.exit_code, "extract" in words(result.stderr)) == (10, True)


def test_ask_goes_through_a_forwarded_port_with_the_key_of_the_environment(
    kubectl: StandIn,
    plugin: Run,
    make_expert: Make,
    server: tuple[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, got = server
    kubectl.answer(make_expert(candidate=adapter(NEW), serving={"url": URL}))
    kubectl.forward(FORWARDING.format(address))
    monkeypatch.setenv("NANODEX_API_KEY", "nx-0123456789")

    result = plugin("ask", "payments", "Where?")

    assert result.stdout == "In ledger.py.\n", result.output
    assert kubectl.asked[1] == (
        "port-forward service/ms-qwen :8000 --address=127.0.0.1 --namespace=nanodex-system"
    )
    assert plugin("ask", "payments", "Where?", "--candidate", "-o", "json").exit_code == 0
    assert plugin("ask", "payments", "Where?", "--service-account", "ci").exit_code == 0
    assert [(body["model"], key) for body, key in got] == [
        ("team-a/payments", "Bearer nx-0123456789"),
        ("team-a/payments@aaaaaaaaaaaa", "Bearer nx-0123456789"),
        ("team-a/payments", "Bearer token-of-the-account"),
    ]
    assert "create token ci --duration=10m --audience=nanodex --namespace=team-a" in kubectl.asked


def test_open_says_where_and_ends_with_its_pod(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(serving={"url": URL}))
    kubectl.forward(FORWARDING.format("127.0.0.1:8000"))
    script = kubectl.folder / "kubectl"
    script.write_text(script.read_text().replace("sleep 60", "sleep 0.1"))

    result = plugin("open", "payments")

    assert "http://127.0.0.1:8000/v1 answers for team-a/payments" in words(result.stdout)
    assert (result.exit_code, "open it again" in words(result.stderr)) == (34, True)
    assert "port-forward service/ms-qwen 8000:8000" in kubectl.asked[1]


def test_an_expert_without_a_server_cannot_be_asked_yet(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(message="epoch 2/3"))

    result = plugin("ask", "payments", "Where?")

    assert (result.exit_code, "epoch 2/3" in words(result.stderr)) == (34, True)


@pytest.mark.parametrize(
    ("stderr", "exit_code", "hint"),
    [
        ('Error from server (NotFound): codeexperts "x" not found', 10, "--all-namespaces"),
        ('Error from server (Forbidden): User "x" cannot get', 13, "administrator"),
        ("error: You must be logged in to the server (Unauthorized)", 13, "administrator"),
        ("Unable to connect to the server: dial tcp", 34, "kubectl version"),
        ("The connection to the server x was refused", 34, "kubectl version"),
        ('error: the server doesn\'t have a resource type "codeexperts"', 10, "install nanodex"),
        ("", 10, "correct"),
    ],
)
def test_what_kubectl_says_becomes_a_line_with_a_hint(
    kubectl: StandIn, plugin: Run, stderr: str, exit_code: int, hint: str
) -> None:
    kubectl.refuse(stderr)

    result = plugin("status", "payments")

    assert result.exit_code == exit_code
    assert hint in words(result.stderr)


def test_a_port_that_is_not_forwarded_says_why(
    kubectl: StandIn, plugin: Run, make_expert: Make
) -> None:
    kubectl.answer(make_expert(serving={"url": URL}))
    kubectl.forward("", stderr="error: unable to forward port because pod is not running.\n")

    result = plugin("ask", "payments", "Where?")

    assert (result.exit_code, "not running" in words(result.stderr)) == (34, True)


def test_without_kubectl_it_says_so(plugin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    result = plugin("status")

    assert (result.exit_code, "install kubectl" in result.stderr) == (10, True)
