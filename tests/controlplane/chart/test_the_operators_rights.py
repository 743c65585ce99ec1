"""What the operator's account can do, asked of the API server: all that it must, and no more.

tests/unit/chart/test_rights_are_listed.py has the whole list; here the answers of the authorizer
count. An operator for all namespaces can start Jobs in each of them, kube-system included: that is
why watchNamespaces exists.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.controlplane.api import Api, eventually, remove_definitions
from tests.controlplane.plane import ControlPlane
from tests.helm import CHART, Helm, as_flags

pytestmark = pytest.mark.controlplane

_REVIEWS = "authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Installed:
    """A release, and who asks."""

    operator: Api
    system: str
    watched: str


@pytest.fixture(scope="module", params=["cluster-wide", "namespaced"])
def installed(
    request: pytest.FixtureRequest, control_plane: ControlPlane, helm: Helm
) -> Iterator[Installed]:
    system, watched = (
        control_plane.create_namespace("system"),
        control_plane.create_namespace("team"),
    )
    namespaced = request.param == "namespaced"
    settings = {
        "artifacts.url": '"s3://nanodex-ci"',
        "watchNamespaces": f'["{watched}"]' if namespaced else "[]",
    }
    helm.run("install", "nanodex", CHART, f"--namespace={system}", *as_flags(settings))
    account = control_plane.service_account_kubeconfig("nanodex-operator", namespace=system)
    with Api(account) as operator:
        eventually(lambda: _may(operator, "get", "pods", namespace=watched))
        yield Installed(operator=operator, system=system, watched=watched)
    helm.run("uninstall", "nanodex", f"--namespace={system}")
    remove_definitions(control_plane.api, "codeexperts.nanodex.dev", "modelservers.nanodex.dev")
    control_plane.delete_namespace(system)
    control_plane.delete_namespace(watched)


def _may(user: Api, verb: str, what: str, *, namespace: str = "", name: str = "") -> bool:
    """Return whether a user may; `what` is as kubectl writes it, `resource.group/subresource`."""
    kind, _, subresource = what.partition("/")
    resource, _, group = kind.partition(".")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    allowed: bool = user.create(_REVIEWS, review)["status"]["allowed"]
    return allowed


@pytest.mark.parametrize(
    ("verbs", "what"),
    [
        ("get list watch", "codeexperts.nanodex.dev"),
        ("update", "codeexperts.nanodex.dev/status"),
        ("update", "codeexperts.nanodex.dev/finalizers"),
        ("get list watch create patch delete", "jobs.batch"),
        ("get list watch", "pods"),
        ("create", "services"),
        ("create", "events"),
    ],
)
def test_it_can_work_in_a_watched_namespace(installed: Installed, verbs: str, what: str) -> None:
    for verb in verbs.split():
        assert _may(installed.operator, verb, what, namespace=installed.watched), verb


@pytest.mark.parametrize(
    ("verbs", "what"),
    [
        ("get list watch", "modelservers.nanodex.dev"),
        ("update", "modelservers.nanodex.dev/status"),
        ("get list watch", "namespaces"),
    ],
)
def test_it_can_see_what_the_cluster_has(installed: Installed, verbs: str, what: str) -> None:
    for verb in verbs.split():
        assert _may(installed.operator, verb, what), verb


@pytest.mark.parametrize(
    "what",
    [
        "configmaps",
        "services",
        "deployments.apps",
        "poddisruptionbudgets.policy",
        "networkpolicies.networking.k8s.io",
    ],
)
def test_it_can_run_engines_in_its_own_namespace(installed: Installed, what: str) -> None:
    for verb in ("get", "list", "watch", "create", "patch", "delete"):
        assert _may(installed.operator, verb, what, namespace=installed.system), verb


def test_it_can_hold_its_lease_and_no_other(installed: Installed) -> None:
    operator, leases = installed.operator, "leases.coordination.k8s.io"
    assert _may(operator, "create", leases, namespace=installed.system)
    for verb in ("get", "update"):
        own = {"namespace": installed.system, "name": "nanodex-operator"}
        assert _may(operator, verb, leases, **own)
        assert not _may(operator, verb, leases, namespace=installed.system, name="another")
        assert not _may(operator, verb, leases, namespace="kube-system", name="nanodex-operator")


@pytest.mark.parametrize(
    ("verbs", "what"),
    [
        ("get list watch create update patch delete", "secrets"),
        ("create get", "pods/exec"),
        ("create get", "pods/attach"),
        ("create get", "pods/portforward"),
        ("create", "pods/ephemeralcontainers"),
        ("get", "pods/log"),
        ("create update delete", "pods"),
        ("create", "serviceaccounts/token"),
        ("get create impersonate", "serviceaccounts"),
        ("create update patch delete", "codeexperts.nanodex.dev"),
        ("create update patch delete", "modelservers.nanodex.dev"),
        ("create update patch escalate bind", "roles.rbac.authorization.k8s.io"),
        ("create update patch escalate bind", "clusterroles.rbac.authorization.k8s.io"),
        ("create update patch", "rolebindings.rbac.authorization.k8s.io"),
        ("create update patch", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("get create update patch delete", "customresourcedefinitions.apiextensions.k8s.io"),
        ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
        ("get list patch", "nodes"),
        ("create", "nodes/proxy"),
        ("create update patch delete", "namespaces"),
        ("get create", "persistentvolumeclaims"),
        ("create patch", "daemonsets.apps"),
    ],
)
def test_it_can_do_nothing_else_anywhere(installed: Installed, verbs: str, what: str) -> None:
    for namespace in ("", installed.watched, installed.system, "kube-system", "default"):
        for verb in verbs.split():
            assert not _may(installed.operator, verb, what, namespace=namespace), (verb, namespace)


def test_it_can_tell_only_its_own_engines_of_a_new_set(installed: Installed) -> None:
    assert _may(installed.operator, "patch", "pods", namespace=installed.system)
    for namespace in ("", installed.watched, "kube-system", "default"):
        assert not _may(installed.operator, "patch", "pods", namespace=namespace), namespace


@pytest.mark.parametrize("what", ["configmaps", "deployments.apps", "poddisruptionbudgets.policy"])
def test_what_is_in_other_namespaces_is_not_its_business(installed: Installed, what: str) -> None:
    for namespace in ("", installed.watched, "kube-system"):
        for verb in ("get", "list", "create", "patch", "delete"):
            assert not _may(installed.operator, verb, what, namespace=namespace), (verb, namespace)


@pytest.mark.parametrize("installed", ["namespaced"], indirect=True)
def test_in_a_namespace_that_is_not_watched_it_has_no_right(installed: Installed) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "kube-system"},
    }
    reviews = "authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules = installed.operator.create(reviews, review)["status"]["resourceRules"]
    # What every account may ask of itself, and what the operator may see of the whole cluster.
    assert {
        (group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]
    } == {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("nanodex.dev", "modelservers"),
        ("nanodex.dev", "modelservers/status"),
        ("nanodex.dev", "modelservers/finalizers"),
        ("", "namespaces"),
    }


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "view",
            {"get": "codeexperts.nanodex.dev", "list": "codeexperts.nanodex.dev/status"},
            {"create": "codeexperts.nanodex.dev/ask", "patch": "codeexperts.nanodex.dev"},
        ),
        (
            "edit",
            {"create": "codeexperts.nanodex.dev/ask", "patch": "codeexperts.nanodex.dev"},
            {"update": "codeexperts.nanodex.dev/status", "patch": "modelservers.nanodex.dev"},
        ),
        (
            "admin",
            {"create": "modelservers.nanodex.dev", "patch": "modelservers.nanodex.dev/scale"},
            {"update": "modelservers.nanodex.dev/status"},
        ),
    ],
)
def test_people_get_rights_by_the_clusters_own_roles(
    installed: Installed,
    control_plane: ControlPlane,
    role: str,
    may: dict[str, str],
    may_not: dict[str, str],
) -> None:
    user = f"{role}-of-{installed.watched}"
    binding = {
        "metadata": {"name": user},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role,
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    bindings = "rbac.authorization.k8s.io/v1/rolebindings"
    control_plane.api.create(bindings, binding, namespace=installed.watched)
    with Api(control_plane.user_kubeconfig(user)) as person:
        for verb, what in may.items():
            eventually(
                lambda verb=verb, what=what: _may(person, verb, what, namespace=installed.watched)
            )
        for verb, what in may_not.items():
            assert not _may(person, verb, what, namespace=installed.watched), (verb, what)
        assert not _may(person, "get", "codeexperts.nanodex.dev", namespace="kube-system")
