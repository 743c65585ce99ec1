"""Tokens of Kubernetes, reviewed by the component's own process against a real API server."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.controlplane.api import Api, Object, eventually
from tests.controlplane.plane import ControlPlane

pytestmark = pytest.mark.controlplane

_ROLES = "rbac.authorization.k8s.io/v1"
_ACCOUNTS = "v1/serviceaccounts"
# What charts/nanodex/templates/access.yaml gives; tests/unit/chart lists it.
_OWN_RULES = [
    {
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["tokenreviews"],
        "verbs": ["create"],
    },
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews"],
        "verbs": ["create"],
    },
]


@dataclass(frozen=True)
class Running:
    """The component, and the namespaces of two teams."""

    url: str
    api: Api
    team: str
    other: str

    def token(self, account: str, *audiences: str) -> str:
        request: Object = {"spec": {"audiences": [*audiences]}}
        said = self.api.post(_ACCOUNTS, account, "token", request, namespace=self.team)
        return str(said["status"]["token"])

    def ask(self, token: str, *models: str) -> httpx.Response:
        body = {"token": token, "models": models}
        return httpx.post(f"{self.url}/review", json=body, trust_env=False, timeout=20)

    def patterns(self, account: str, *models: str) -> list[str]:
        answer = self.ask(self.token(account, "nanodex"), *models)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["patterns"]
        return found


def _ask_rule(*names: str) -> Object:
    rule: Object = {
        "apiGroups": ["nanodex.dev"], "resources": ["codeexperts/ask"], "verbs": ["create"],
    }  # fmt: skip
    return {**rule, "resourceNames": [*names]} if names else rule


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane) -> Iterator[Running]:
    api = control_plane.api
    system, team, other = (control_plane.create_namespace(name) for name in ("nx", "a", "b"))
    made: list[tuple[str, str, str]] = []

    def bind(account: str, rules: list[Object], *, home: str, namespace: str = "") -> None:
        """Give an account rights in a namespace, or everywhere."""
        name = f"{home}-{account}"
        scope = "Role" if namespace else "ClusterRole"
        role = {"apiVersion": _ROLES, "kind": scope, "metadata": {"name": name}, "rules": rules}
        binding = {
            "apiVersion": _ROLES,
            "kind": f"{scope}Binding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": _ROLES.split("/")[0], "kind": scope, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
        }
        for plural, body in ((f"{scope.lower()}s", role), (f"{scope.lower()}bindings", binding)):
            api.create(f"{_ROLES}/{plural}", body, namespace=namespace)
            if not namespace:
                made.append((f"{_ROLES}/{plural}", name, ""))

    for account in ("ci", "narrow", "wide", "nobody"):
        api.create(_ACCOUNTS, {"metadata": {"name": account}}, namespace=team)
    api.create(_ACCOUNTS, {"metadata": {"name": "access"}}, namespace=system)
    bind("access", _OWN_RULES, home=system)
    bind("ci", [_ask_rule()], home=team, namespace=team)
    bind("narrow", [_ask_rule("payments")], home=team, namespace=team)
    bind("wide", [_ask_rule()], home=team)
    kubeconfig = control_plane.service_account_kubeconfig("access", namespace=system)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "nanodex_operator.access"],
        env={
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "NANODEX_AUDIENCES": "nanodex",
            "NANODEX_PORT": str(port),
        },
    )
    found = Running(url=f"http://127.0.0.1:{port}", api=api, team=team, other=other)
    try:
        eventually(lambda: _healthy(found.url))
        # The authorizer hears of roles a moment after they are written.
        eventually(lambda: found.patterns("wide", "base") == ["*"])
        eventually(lambda: found.patterns("ci", f"{team}/payments"))
        eventually(lambda: found.patterns("narrow", f"{team}/payments"))
        yield found
    finally:
        process.terminate()
        assert process.wait(20) == 0
        for resource, name, namespace in made:
            api.delete(resource, name, namespace=namespace)
        for name in (system, team, other):
            control_plane.delete_namespace(name)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_rights_are_those_of_rbac(running: Running) -> None:
    team, other = running.team, running.other
    models = ("base", f"{team}/payments", f"{team}/orders", f"{other}/payments")

    assert running.patterns("ci", *models) == [f"{team}/*"]
    assert running.patterns("narrow", *models) == [f"{team}/payments"]
    assert running.patterns("narrow", f"{team}/orders") == []
    assert running.patterns("wide", *models) == ["*"]
    assert running.patterns("nobody", *models) == []


def test_the_user_is_named_as_the_api_server_names_it(running: Running) -> None:
    said = running.ask(running.token("ci", "nanodex")).json()

    assert said == {"user": f"system:serviceaccount:{running.team}:ci", "patterns": []}


@pytest.mark.parametrize(
    "make",
    [
        # The API server's own token: whoever gets it could act as its owner.
        lambda running: running.token("wide"),
        lambda running: running.token("wide", "vault"),
        lambda running: running.token("wide", "nanodex")[:-6] + "AAAAAA",
        lambda running: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.x",
        lambda running: "nx-0123456789abcdef",
    ],
    ids=["for the API server", "for others", "forged", "unsigned", "a key"],
)
def test_no_other_token_is_valid(running: Running, make: Callable[[Running], Any]) -> None:
    assert running.ask(make(running), "base").status_code == 401


def test_the_token_of_an_account_that_is_gone_is_not_valid(running: Running) -> None:
    running.api.create(_ACCOUNTS, {"metadata": {"name": "gone"}}, namespace=running.team)
    token = running.token("gone", "nanodex")
    assert running.ask(token).status_code == 200

    running.api.delete(_ACCOUNTS, "gone", namespace=running.team)

    eventually(lambda: running.ask(token).status_code == 401)
