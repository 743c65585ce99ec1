"""The kubelet and Prometheus are answered from a thread of its own."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from nanodex_operator.endpoint import Endpoint, healthz
from nanodex_operator.logs import JsonLines
from nanodex_operator.metrics import OperatorMetrics


@pytest.fixture
def problems() -> list[str]:
    return [""]


@pytest.fixture
def endpoint(problems: list[str]) -> Iterator[Endpoint]:
    metrics = OperatorMetrics()
    metrics.reconciled("done", seconds=0.01)
    metrics.ask_queue(depth=lambda: 3, oldest=lambda: 1.5)
    metrics.ask_experts(lambda: {"Ready": 2, "": 1})
    running = Endpoint(
        0,
        routes={
            "/healthz": healthz(lambda: problems[-1]),
            "/metrics": lambda: (HTTPStatus.OK, metrics.text()),
        },
    )
    running.start()
    yield running
    running.stop()


def ask(endpoint: Endpoint, path: str) -> tuple[int, str]:
    request = f"http://127.0.0.1:{endpoint.port}{path}"
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_process_without_a_problem_is_healthy(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/healthz") == (200, "ok\n")


def test_a_process_that_should_be_restarted_says_why(
    endpoint: Endpoint, problems: list[str]
) -> None:
    problems.append("400 s since a worker looked for work")

    assert ask(endpoint, "/healthz") == (503, "400 s since a worker looked for work\n")


def test_metrics_are_in_prometheus_text(endpoint: Endpoint) -> None:
    code, text = ask(endpoint, "/metrics")

    assert code == 200
    assert 'nanodex_operator_reconciles_total{result="done"} 1.0' in text
    assert "nanodex_operator_queue_depth 3.0" in text
    assert "nanodex_operator_queue_oldest_seconds 1.5" in text
    assert 'nanodex_operator_experts{phase="Ready"} 2.0' in text
    assert 'nanodex_operator_experts{phase="Unknown"} 1.0' in text


def test_there_is_nothing_else(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/debug")[0] == 404


def test_a_log_line_is_one_json_object_whatever_it_holds() -> None:
    record = logging.LogRecord(
        "a", logging.WARNING, __file__, 1, "%s failed", ('x"\n{"level": "info"}',), None
    )

    line = JsonLines().format(record)

    assert "\n" not in line
    assert json.loads(line)["message"] == 'x"\n{"level": "info"} failed'
    assert json.loads(line)["level"] == "warning"
