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
    assert len(pods) == (3 if "access" in values.name else 2)
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


@pytest.mark.parametrize("component", ["operator", "access"])
def test_selectors_find_the_pods_of_their_component_alone(
    helm: Helm, values: Path, component: str
) -> None:
    manifests = helm.template(values)
    own = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind(manifests, "Deployment", component=component)
    ]
    all_pods = [pod["metadata"]["labels"] for pod in _pods(manifests)]

    def of(kind: str) -> list[Object]:
        return [one["spec"] for one in of_kind(manifests, kind, component=component)]

    selectors = [
        *(spec["selector"]["matchLabels"] for spec in of("Deployment")),
        *(spec["selector"] for spec in of("Service")),
        *(spec["selector"]["matchLabels"] for spec in of("PodDisruptionBudget")),
        *(spec["selector"]["matchLabels"] for spec in of("ServiceMonitor")),
        *(spec["podSelector"]["matchLabels"] for spec in of("NetworkPolicy")),
    ]
    for selector in selectors:
        assert [one for one in all_pods if selector.items() <= one.items()] == own
