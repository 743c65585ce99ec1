"""The Deployment gives the operator each of its settings, and nothing that it does not read."""

from pathlib import Path
from typing import Any

import pytest
from nanodex_operator.manifests.engine_pod import COMPONENT, PRIVATE_PORT
from nanodex_operator.manifests.metadata import labels
from nanodex_operator.settings import Settings

from tests.helm import VALUES, Helm, of_kind

_DIGEST = "sha256:" + "1" * 64


def _container(manifests: str) -> dict[str, Any]:
    [deployment] = of_kind(manifests, "Deployment", component="operator")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _values(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def _named(name: str) -> Path:
    return next(path for path in VALUES if path.name == f"{name}-values.yaml")


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_each_setting_is_given(helm: Helm, values: Path) -> None:
    names = [one["name"] for one in _container(helm.template(values))["env"]]
    given = [name for name in names if name.startswith("NANODEX_")]
    assert sorted(given) == sorted(f"NANODEX_{name.upper()}" for name in Settings.model_fields)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_the_operator_understands_them(helm: Helm, values: Path) -> None:
    given = _values(_container(helm.template(values)))
    Settings.from_environment({**given, "NANODEX_NAMESPACE": "nanodex-system"})


def test_lists_arrive_whole(helm: Helm) -> None:
    given = _values(_container(helm.template(_named("namespaced"))))
    settings = Settings.from_environment({**given, "NANODEX_NAMESPACE": "nanodex-system"})
    assert settings.watch_namespaces == ("team-a", "team-b")
    given = _values(_container(helm.template(_named("ha"))))
    settings = Settings.from_environment({**given, "NANODEX_NAMESPACE": "nanodex-system"})
    assert settings.store_ports == ("443", "9000")
    assert (settings.concurrency, settings.resync_seconds) == (32, 300)


def test_ports_and_probes_are_where_the_operator_listens(helm: Helm) -> None:
    container = _container(helm.template(_named("default")))
    given = Settings.from_environment({**_values(container), "NANODEX_NAMESPACE": "nanodex-system"})
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "metrics": given.metrics_port,
        "health": given.health_port,
    }
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_the_network_lets_the_operator_ask_its_agents(helm: Helm) -> None:
    rendered = helm.template(_named("default"), only=["networkpolicy.yaml"])
    [policy] = of_kind(rendered, "NetworkPolicy")
    rule = policy["spec"]["egress"][-1]
    assert [port["port"] for port in rule["ports"]] == [PRIVATE_PORT]
    [peer] = rule["to"]
    assert peer["podSelector"]["matchLabels"].items() <= labels(COMPONENT).items()


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_what_people_set_never_hides_a_setting(helm: Helm, values: Path) -> None:
    names = [one["name"] for one in _container(helm.template(values))["env"]]
    assert len(names) == len(set(names))


def test_images_come_from_the_registry_that_is_named(helm: Helm) -> None:
    container = _container(helm.template(_named("private")))
    values = _values(container)
    registry = "images.example.com/nanodex"
    assert container["image"] == f"{registry}/nanodex-operator@{_DIGEST}"
    assert values["NANODEX_NANODEX_IMAGE"] == f"{registry}/nanodex@sha256:{'2' * 64}"
    assert values["NANODEX_TRAINER_IMAGE"] == f"{registry}/nanodex-trainer:1.2.3"
    assert values["NANODEX_ENGINE_IMAGE"] == f"{registry}/vllm-openai:v0.32.0-company"
    assert values["NANODEX_IMAGE_PULL_SECRETS"] == "images-example-com"


def test_images_have_the_version_of_the_chart_by_default(helm: Helm) -> None:
    container = _container(helm.template(_named("default")))
    assert container["image"] == "localhost/nanodex-operator:0.1.0"
    assert _values(container)["NANODEX_TRAINER_IMAGE"] == "localhost/nanodex-trainer:0.1.0"


def test_the_store_is_trusted_by_the_certificates_of_the_config_map(helm: Helm) -> None:
    container = _container(helm.template(_named("private")))
    values = _values(container)
    assert values["AWS_CA_BUNDLE"] == "/etc/nanodex/store-ca/ca.crt"
    assert values["NANODEX_STORE_CA_CONFIG_MAP"] == "company-ca"
    assert "/etc/nanodex/store-ca" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_credentials_come_from_the_named_secret(helm: Helm) -> None:
    assert _container(helm.template(_named("ha")))["envFrom"] == [
        {"secretRef": {"name": "nanodex-operator-s3"}}
    ]
    assert "envFrom" not in _container(helm.template(_named("default")))
