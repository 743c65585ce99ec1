"""What the chart runs could do no harm if it were taken over.

tests/controlplane/chart shows that
the API server takes its Pods where PodSecurity's level `restricted` is enforced.
"""

from pathlib import Path

import pytest

from tests.helm import VALUES, Helm, Object, of_kind

pytestmark = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)


def _pods(manifests: str) -> list[Object]:
    templates = [one["spec"]["template"] for one in of_kind(manifests, "Deployment")]
    return [*templates, *of_kind(manifests, "Pod")]


def test_root_has_no_part_in_it(helm: Helm, values: Path) -> None:
    pods = _pods(helm.template(values))
    assert len(pods) == 2
    for pod in pods:
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"]) == (65532, 65532)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_a_leak_stays_small(helm: Helm, values: Path) -> None:
    for pod in _pods(helm.template(values)):
        for container in pod["spec"]["containers"]:
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        for volume in pod["spec"].get("volumes", []):
            assert "hostPath" not in volume
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"]


def test_tokens_are_where_they_are_asked_for(helm: Helm, values: Path) -> None:
    manifests = helm.template(values)
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for pod in _pods(manifests):
        assert pod["spec"]["automountServiceAccountToken"] is True
        assert pod["spec"]["serviceAccountName"] in [
            account["metadata"]["name"] for account in of_kind(manifests, "ServiceAccount")
        ]


def test_selectors_find_the_operator_alone(helm: Helm, values: Path) -> None:
    manifests = helm.template(values)
    [deployment] = of_kind(manifests, "Deployment")
    [test] = of_kind(manifests, "Pod")
    operator = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["selector"] for one in of_kind(manifests, "Service")]
    selectors += [
        one["spec"]["selector"]["matchLabels"]
        for kind in ("PodDisruptionBudget", "ServiceMonitor")
        for one in of_kind(manifests, kind)
    ]
    selectors += [
        one["spec"]["podSelector"]["matchLabels"] for one in of_kind(manifests, "NetworkPolicy")
    ]
    for selector in selectors:
        assert selector.items() <= operator.items()
        assert not selector.items() <= test["metadata"]["labels"].items()
