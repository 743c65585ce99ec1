"""Every right that the chart gives, with the reason for it. One that is not here does not pass.

The first half is the operator's own ServiceAccount, the second what people get.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.helm import NAMESPACE, VALUES, Helm, Object, of_kind

EVERYWHERE = "*"
_READ = ("get", "list", "watch")

# (group, resource, name) -> verbs, and why.
_CLUSTER = {
    ("nanodex.dev", "modelservers", ""): (_READ, "a ModelServer has no namespace"),
    ("nanodex.dev", "modelservers/status", ""): (("update",), "its conditions"),
    ("nanodex.dev", "modelservers/finalizers", ""): (
        ("update",),
        "owner references that block: asked for where OwnerReferencesPermissionEnforcement is on",
    ),
    ("", "namespaces", ""): (_READ, "allowedNamespaces selects by their labels"),
}
_WATCHED = {
    ("nanodex.dev", "codeexperts", ""): (_READ, "what is wanted"),
    ("nanodex.dev", "codeexperts/status", ""): (("update",), "what is"),
    ("nanodex.dev", "codeexperts/finalizers", ""): (("update",), "as for modelservers"),
    ("batch", "jobs", ""): ((*_READ, "create", "patch", "delete"), "a stage; patch suspends"),
    ("", "pods", ""): (_READ, "why a stage waits or failed"),
    ("", "services", ""): (
        ("create",),
        "headless: the Pods of a training run on several nodes find each other",
    ),
    ("", "events", ""): (("create",), "transitions, said once"),
}
_OWN = {
    ("", "configmaps", ""): ((*_READ, "create", "patch", "delete"), "desired set of adapters"),
    ("", "services", ""): ((*_READ, "create", "patch", "delete"), "of a ModelServer"),
    ("", "pods", ""): (
        (*_READ, "patch"),
        "agents that are asked for their status; an annotation tells a kubelet of a new set",
    ),
    ("", "events", ""): (("create",), "about ModelServers"),
    ("apps", "deployments", ""): ((*_READ, "create", "patch", "delete"), "of a ModelServer"),
    ("policy", "poddisruptionbudgets", ""): (
        (*_READ, "create", "patch", "delete"),
        "of a ModelServer",
    ),
    ("networking.k8s.io", "networkpolicies", ""): (
        (*_READ, "create", "patch", "delete"),
        "of a ModelServer",
    ),
    ("coordination.k8s.io", "leases", ""): (("create",), "a create cannot be limited to a name"),
    ("coordination.k8s.io", "leases", "nanodex-operator"): (("get", "update"), "one works"),
}
# Of the component that says whose a token is; it has nothing else.
_ACCESS = {
    ("authentication.k8s.io", "tokenreviews", ""): (("create",), "whose a token is"),
    ("authorization.k8s.io", "subjectaccessreviews", ""): (("create",), "what they may ask"),
}
_PEOPLE = {
    "nanodex-view": {
        ("nanodex.dev", "codeexperts", ""): _READ,
        ("nanodex.dev", "codeexperts/status", ""): _READ,
        ("nanodex.dev", "modelservers", ""): _READ,
        ("nanodex.dev", "modelservers/status", ""): _READ,
    },
    "nanodex-ask": {("nanodex.dev", "codeexperts/ask", ""): ("create",)},
    "nanodex-edit": {
        ("nanodex.dev", "codeexperts", ""): (
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
        ),
    },
    "nanodex-admin": {
        ("nanodex.dev", "modelservers", ""): (
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
        ),
        ("nanodex.dev", "modelservers/scale", ""): ("get", "update", "patch"),
    },
}
_AGGREGATED = {
    "nanodex-view": {"view"},
    "nanodex-ask": {"edit"},
    "nanodex-edit": {"edit"},
    "nanodex-admin": {"admin"},
}

Right = tuple[str, str, str, str]


def _rights(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def _listed(rights: Mapping[tuple[str, str, str], tuple[tuple[str, ...], str]]) -> set[Right]:
    return {(*what, verb) for what, (verbs, _) in rights.items() for verb in verbs}


def _granted(manifests: str, component: str = "operator") -> dict[str, set[Right]]:
    """Return the rights of a component's account, by namespace."""
    roles = {
        (role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]): role
        for kind in ("ClusterRole", "Role")
        for role in of_kind(manifests, kind)
    }
    [account] = of_kind(manifests, "ServiceAccount", component=component)
    granted: dict[str, set[Right]] = {}
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in of_kind(manifests, kind, component=component):
            assert binding["subjects"] == [
                {
                    "kind": "ServiceAccount",
                    "name": account["metadata"]["name"],
                    "namespace": NAMESPACE,
                }
            ]
            namespace = binding["metadata"].get("namespace", "")
            role = binding["roleRef"]
            place = namespace if role["kind"] == "Role" else ""
            rules = roles[role["kind"], place, role["name"]]["rules"]
            granted.setdefault(namespace or EVERYWHERE, set()).update(_rights(rules))
    return granted


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_the_operator_has_the_listed_rights(helm: Helm, values: object) -> None:
    manifests = helm.template(values)  # type: ignore[arg-type]
    [variables] = [
        container["env"]
        for deployment in of_kind(manifests, "Deployment", component="operator")
        for container in deployment["spec"]["template"]["spec"]["containers"]
    ]
    [watched] = [one["value"] for one in variables if one["name"] == "NANODEX_WATCH_NAMESPACES"]
    expected = {EVERYWHERE: _listed(_CLUSTER), NAMESPACE: _listed(_OWN)}
    for namespace in watched.split(",") if watched else [EVERYWHERE]:
        expected[namespace] = expected.get(namespace, set()) | _listed(_WATCHED)
    assert _granted(manifests) == expected


def test_whoever_looks_at_tokens_has_two_rights_and_no_other_component_has_them(
    helm: Helm,
) -> None:
    [values] = [path for path in VALUES if path.name == "access-values.yaml"]
    manifests = helm.template(values)
    assert _granted(manifests, "access") == {EVERYWHERE: _listed(_ACCESS)}
    others = [
        role
        for kind in ("ClusterRole", "Role")
        for role in of_kind(manifests, kind)
        if role["metadata"]["labels"]["app.kubernetes.io/component"] != "access"
    ]
    assert others
    for role in others:
        assert not _rights(role["rules"]) & _listed(_ACCESS)


@pytest.mark.parametrize("watched", ["[]", '["team-a", "team-b"]', '["nanodex-system"]'])
def test_no_right_reads_secrets_enters_pods_or_gives_rights(helm: Helm, watched: str) -> None:
    manifests = helm.template(
        settings={"watchNamespaces": watched, "artifacts.url": '"s3://nanodex-ci"'}
    )
    roles = [*of_kind(manifests, "ClusterRole"), *of_kind(manifests, "Role")]
    for group, resource, _, verb in {right for role in roles for right in _rights(role["rules"])}:
        assert "*" not in (group, resource, verb)
        assert resource.partition("/")[0] not in ("secrets", "serviceaccounts", "nodes")
        assert not resource.startswith("pods/")
        assert group not in ("rbac.authorization.k8s.io", "certificates.k8s.io")
        assert not group.startswith("admissionregistration")
        assert verb not in ("escalate", "bind", "impersonate")


def test_people_have_the_listed_rights(helm: Helm) -> None:
    manifests = helm.template(settings={"artifacts.url": '"s3://nanodex-ci"'})
    found = {
        role["metadata"]["name"]: role
        for role in of_kind(manifests, "ClusterRole")
        if role["metadata"]["name"] != "nanodex-operator"
    }
    assert {name: _rights(role["rules"]) for name, role in found.items()} == {
        name: {(*what, verb) for what, verbs in rights.items() for verb in verbs}
        for name, rights in _PEOPLE.items()
    }
    assert {name: _aggregated_to(role) for name, role in found.items()} == _AGGREGATED


def test_aggregation_can_be_left_out(helm: Helm) -> None:
    manifests = helm.template(
        settings={"artifacts.url": '"s3://nanodex-ci"', "rbac.aggregate": "false"}
    )
    assert [_aggregated_to(role) for role in of_kind(manifests, "ClusterRole")] == [set()] * 5


def _aggregated_to(role: Object) -> set[str]:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    return {
        name.removeprefix(prefix) for name in role["metadata"]["labels"] if name.startswith(prefix)
    }
