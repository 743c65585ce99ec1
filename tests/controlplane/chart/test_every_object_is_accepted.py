"""The API server takes all that the chart renders, to the last field."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.api import Api, Refused, add_definitions, remove_definitions
from tests.controlplane.chart.strict import Strict
from tests.controlplane.plane import ControlPlane
from tests.helm import VALUES, Helm, Object, objects, of_kind

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def strict(control_plane: ControlPlane) -> Iterator[Strict]:
    checker = Strict(control_plane.kubeconfig)
    yield checker
    checker.close()


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace that refuses Pods, and warns of templates, that are not `restricted`."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    name = control_plane.create_namespace("chart", labels=levels)
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture(scope="module")
def _watched(control_plane: ControlPlane) -> Iterator[None]:
    """The namespaces that the values of ci/ watch."""
    names: set[str] = set()
    for file in VALUES:
        names.update(yaml.safe_load(file.read_text(encoding="utf-8")).get("watchNamespaces", []))
    for name in names:
        control_plane.api.create("v1/namespaces", {"metadata": {"name": name}})
    yield
    for name in names:
        control_plane.delete_namespace(name)


@pytest.fixture(scope="module")
def _monitoring(control_plane: ControlPlane, monitoring_crds: list[Object]) -> Iterator[None]:
    """ServiceMonitor and PrometheusRule, as the Prometheus operator has them."""
    add_definitions(control_plane.api, *monitoring_crds)
    yield
    remove_definitions(control_plane.api, *(crd["metadata"]["name"] for crd in monitoring_crds))


@pytest.mark.usefixtures("_watched", "_monitoring")
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_strictly(helm: Helm, api: Api, strict: Strict, restricted: str, values: Path) -> None:
    manifests = helm.template(values, namespace=restricted)
    # Pods are taken in the name of their account.
    accounts = [
        api.apply("v1/serviceaccounts", account, namespace=restricted)
        for account in of_kind(manifests, "ServiceAccount")
    ]
    try:
        found = objects(manifests)
        assert len(found) > 10
        for body in found:
            if body["kind"] != "ServiceAccount":
                strict.check(body, namespace=restricted)
        for deployment in of_kind(manifests, "Deployment"):
            strict.check(_pod(deployment), namespace=restricted)
    finally:
        for account in accounts:
            api.delete("v1/serviceaccounts", account["metadata"]["name"], namespace=restricted)
    for account in of_kind(manifests, "ServiceAccount"):
        strict.check(account, namespace=restricted)


def _pod(deployment: Object) -> Object:
    template = deployment["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "from-the-template", **template["metadata"]},
        "spec": template["spec"],
    }


def test_a_field_that_does_not_exist_would_be_refused(strict: Strict, restricted: str) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "wrong"},
        "spec": {"maxUnavailable": 1, "minReplicas": 1},
    }
    with pytest.raises(Refused, match=r'unknown field "spec\.minReplicas"'):
        strict.check(body, namespace=restricted)
