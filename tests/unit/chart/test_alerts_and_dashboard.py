"""Alerts and dashboard ask for metrics that the operator has, and for labels that these have."""

import json
import re
from typing import Any

import pytest
from nanodex_operator.metrics import OperatorMetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.helm import VALUES, Helm, objects, of_kind

_MONITORING = next(path for path in VALUES if path.name == "monitoring-values.yaml")
_NAME = re.compile(r"\bnanodex_[a-z_]+\b")
_SELECTED = re.compile(r"(nanodex_[a-z_]+)\{([^}]*)\}")
# Every scrape of a ServiceMonitor adds them.
_OF_THE_SCRAPE = {"namespace", "job", "pod", "instance", "le"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The operator's samples, by name, each with its labels."""
    metrics = OperatorMetrics()
    metrics.reconciled("done", seconds=1.0)
    metrics.asked_api("get", resource="jobs", code=200)
    metrics.asked_store("found")
    metrics.moved("train", state="Failed")
    metrics.ask_experts(lambda: {"Training": 1})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _dashboard(helm: Helm) -> dict[str, Any]:
    [config] = of_kind(helm.template(_MONITORING, only=["monitoring.yaml"]), "ConfigMap")
    found: dict[str, Any] = json.loads(config["data"]["nanodex.json"])
    return found


def _rules(helm: Helm) -> list[dict[str, Any]]:
    [rule] = of_kind(helm.template(_MONITORING, only=["monitoring.yaml"]), "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


def _questions(helm: Helm) -> list[str]:
    dashboard = _dashboard(helm)
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [
        one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"
    ]
    return [*panels, *variables, *(rule["expr"] for rule in _rules(helm))]


def test_each_metric_is_exported(helm: Helm, exported: dict[str, set[str]]) -> None:
    for question in _questions(helm):
        names = set(_NAME.findall(question))
        assert names
        assert names <= set(exported), question


def test_each_label_is_exported(helm: Helm, exported: dict[str, set[str]]) -> None:
    for question in _questions(helm):
        for name, selector in _SELECTED.findall(question):
            labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= exported[name] | _OF_THE_SCRAPE, question
        for grouped in re.findall(r"by \(([^)]*)\)", question):
            labels = {label.strip() for label in grouped.split(",")}
            [name] = set(_NAME.findall(question))
            assert labels <= exported[name] | _OF_THE_SCRAPE, question


def test_the_alerts_are_about_this_release(helm: Helm) -> None:
    for rule in _rules(helm):
        selectors = [selector for _, selector in _SELECTED.findall(rule["expr"])]
        assert selectors
        for selector in selectors:
            assert 'namespace="nanodex-system", job="nanodex-operator"' in selector


def test_an_alert_says_what_to_do(helm: Helm) -> None:
    for rule in _rules(helm):
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_panels_do_not_overlap(helm: Helm) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard(helm)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_nothing_is_there_unless_it_is_asked_for(helm: Helm) -> None:
    default = next(path for path in VALUES if path.name == "default-values.yaml")
    kinds = {found["kind"] for found in objects(helm.template(default))}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
