"""helm install, upgrade and uninstall against the API server. No kubelet: nothing is waited for."""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.controlplane.api import DEFINITIONS, Api, Object, eventually, remove_definitions
from tests.controlplane.plane import ControlPlane
from tests.helm import CHART, Helm, HelmFailed, as_flags, older_chart

pytestmark = pytest.mark.controlplane


_OURS = ("codeexperts.nanodex.dev", "modelservers.nanodex.dev")
_EXPERTS = "nanodex.dev/v1alpha1/codeexperts"
_STORE = {"artifacts.url": '"s3://nanodex-ci/artifacts"'}
_MADE = (
    "apps/v1/deployments",
    "v1/services",
    "v1/configmaps",
    "v1/serviceaccounts",
    "policy/v1/poddisruptionbudgets",
    "networking.k8s.io/v1/networkpolicies",
    "rbac.authorization.k8s.io/v1/roles",
    "rbac.authorization.k8s.io/v1/rolebindings",
    "rbac.authorization.k8s.io/v1/clusterroles",
    "rbac.authorization.k8s.io/v1/clusterrolebindings",
)


@pytest.fixture
def system(control_plane: ControlPlane, helm: Helm) -> Iterator[str]:
    """A namespace for the release; afterwards the cluster has nothing of nanodex."""
    name = control_plane.create_namespace("system")
    yield name
    helm.run("uninstall", "nanodex", f"--namespace={name}", "--ignore-not-found")
    remove_definitions(control_plane.api, *_OURS)
    control_plane.delete_namespace(name)


@pytest.fixture
def team(control_plane: ControlPlane) -> Iterator[str]:
    """A user's namespace."""
    name = control_plane.create_namespace("team")
    yield name
    control_plane.delete_namespace(name)


def _install(helm: Helm, namespace: str, *flags: str, chart: Path = CHART, **settings: str) -> str:
    return helm.run(
        "upgrade",
        "--install",
        "nanodex",
        chart,
        f"--namespace={namespace}",
        *as_flags(_STORE | {name.replace("__", "."): value for name, value in settings.items()}),
        *flags,
    )


def _expert(name: str) -> Object:
    return {
        "apiVersion": "nanodex.dev/v1alpha1",
        "kind": "CodeExpert",
        "metadata": {"name": name},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
            "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
        },
    }


def _left(api: Api, namespace: str) -> list[str]:
    label = "app.kubernetes.io/part-of=nanodex"
    return [
        f"{resource}/{found['metadata']['name']}"
        for resource in _MADE
        for place in ("" if "cluster" in resource else namespace,)
        for found in api.find_all(resource, namespace=place, labels=label)
    ]


def _generation(api: Api, crd: str) -> int:
    found: int = api.get(DEFINITIONS, crd)["metadata"]["generation"]
    return found


def test_the_notes_say_the_next_command(helm: Helm, system: str) -> None:
    said = _install(helm, system)
    assert f"kubectl -n {system} rollout status deployment/nanodex-operator" in said
    assert f"helm test nanodex -n {system}" in said
    assert "kubectl -n default apply -f codeexpert.yaml" in said
    assert "no credentials of s3://nanodex-ci/artifacts" in said
    said = _install(helm, system, artifacts__existingSecret='"s3"', watchNamespaces='["default"]')
    assert "works on the CodeExperts of default." in said
    assert "no credentials" not in said


def test_what_a_user_made_outlives_the_release(
    helm: Helm, api: Api, control_plane: ControlPlane, system: str, team: str
) -> None:
    _install(helm, system)
    assert len(_left(api, system)) > 10
    eventually(lambda: api.find(_EXPERTS, "any", namespace=team) is None)
    api.create(_EXPERTS, _expert("kept"), namespace=team)

    helm.run("uninstall", "nanodex", f"--namespace={system}")
    assert _left(api, system) == []
    assert api.get(_EXPERTS, "kept", namespace=team)["spec"]["baseModel"]

    # The same release takes the CRDs that it left behind as its own again.
    before = [_generation(api, crd) for crd in _OURS]
    _install(helm, system)
    assert [_generation(api, crd) for crd in _OURS] == before
    helm.run("uninstall", "nanodex", f"--namespace={system}")

    # No operator is there, and nothing waits for one.
    api.delete(_EXPERTS, "kept", namespace=team)
    assert api.find(_EXPERTS, "kept", namespace=team) is None
    api.create(_EXPERTS, _expert("in-a-namespace"), namespace=team)
    control_plane.delete_namespace(team)
    eventually(lambda: api.find("v1/namespaces", team) is None)


def test_an_upgrade_changes_what_was_changed(helm: Helm, api: Api, system: str) -> None:
    _install(helm, system)
    crds = [_generation(api, crd) for crd in _OURS]
    roles = [
        role["metadata"]["resourceVersion"]
        for role in api.find_all("rbac.authorization.k8s.io/v1/roles", namespace=system)
    ]
    _install(helm, system, operator__concurrency="32", operator__replicas="2")
    deployment = api.get("apps/v1/deployments", "nanodex-operator", namespace=system)
    assert deployment["spec"]["replicas"] == 2
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "NANODEX_CONCURRENCY", "value": "32"} in container["env"]
    assert [_generation(api, crd) for crd in _OURS] == crds
    assert roles == [
        role["metadata"]["resourceVersion"]
        for role in api.find_all("rbac.authorization.k8s.io/v1/roles", namespace=system)
    ]


def test_an_upgrade_brings_back_the_crds(helm: Helm, api: Api, system: str) -> None:
    _install(helm, system)
    crd = api.get(DEFINITIONS, _OURS[0])
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    crd["spec"]["versions"][0]["additionalPrinterColumns"] = columns[:1]
    api.patch(DEFINITIONS, _OURS[0], {"spec": {"versions": crd["spec"]["versions"]}})
    _install(helm, system, "--force-conflicts")
    assert (
        api.get(DEFINITIONS, _OURS[0])["spec"]["versions"][0]["additionalPrinterColumns"] == columns
    )


def test_the_crds_may_be_somebody_elses(helm: Helm, api: Api, system: str) -> None:
    _install(helm, system, crds__install="false")
    assert [api.find(DEFINITIONS, crd) for crd in _OURS] == [None, None]


def test_a_namespace_that_is_not_there_is_named(helm: Helm, system: str) -> None:
    with pytest.raises(HelmFailed, match='namespaces "team-that-is-not" not found'):
        _install(helm, system, watchNamespaces='["team-that-is-not"]')


class _Health(BaseHTTPRequestHandler):
    """An operator that is well."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def health() -> Iterator[str]:
    """The address of a healthy operator."""
    server = HTTPServer(("127.0.0.1", 0), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/healthz"
    server.shutdown()
    server.server_close()


def test_the_check_of_helm_test(
    helm: Helm, control_plane: ControlPlane, system: str, health: str, tmp_path: Path
) -> None:
    _install(helm, system, crds__install="false")
    assert _check(control_plane, system, tmp_path, health="http://127.0.0.1:9/healthz") == (
        1,
        [
            "nanodex.dev/v1alpha1 is not served: HTTP Error 404: Not Found",
            "http://127.0.0.1:9/healthz: <urlopen error [Errno 111] Connection refused>",
        ],
    )
    _install(helm, system)
    eventually(lambda: _check(control_plane, system, tmp_path, health=health) == (0, []))


def _check(
    control_plane: ControlPlane, namespace: str, folder: Path, *, health: str
) -> tuple[int, list[str]]:
    """Run the check as its Pod does, with a token that has no rights of its own."""
    kubeconfig = control_plane.service_account_kubeconfig("default", namespace=namespace)
    config = json.loads(kubeconfig.read_text(encoding="utf-8"))
    authority = folder / "ca.crt"
    authority.write_bytes(
        base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    )
    token = folder / "token"
    token.write_text(config["users"][0]["user"]["token"], encoding="ascii")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            (CHART / "files/check_installation.py").read_text(encoding="utf-8"),
            f"--api={control_plane.url}",
            f"--authority={authority}",
            f"--token-file={token}",
            f"--health={health}",
            "--seconds=0",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def test_an_upgrade_from_an_older_release_brings_what_its_crds_lacked(
    helm: Helm, api: Api, system: str, team: str, tmp_path: Path
) -> None:
    _install(helm, system, chart=older_chart(tmp_path / "older"))
    api.create(_EXPERTS, _expert("kept"), namespace=team)
    before = api.get(_EXPERTS, "kept", namespace=team)["metadata"]["uid"]
    lacked = _columns(api)

    _install(helm, system)

    assert _columns(api)[1:] == lacked
    assert api.get(_EXPERTS, "kept", namespace=team)["metadata"]["uid"] == before


def test_a_crd_that_was_edited_by_hand_is_taken_back_only_on_demand(
    api: Api, helm: Helm, system: str
) -> None:
    _install(helm, system)
    [released] = api.get(DEFINITIONS, _OURS[0])["spec"]["versions"]
    columns = _columns(api)
    less = {**released, "additionalPrinterColumns": released["additionalPrinterColumns"][1:]}
    api.patch(DEFINITIONS, _OURS[0], {"spec": {"versions": [less]}})

    with pytest.raises(HelmFailed, match="conflict"):
        _install(helm, system)
    assert _columns(api) == columns[1:]

    _install(helm, system, "--force-conflicts")
    assert _columns(api) == columns


def _columns(api: Api) -> list[str]:
    [version] = api.get(DEFINITIONS, _OURS[0])["spec"]["versions"]
    return [column["name"] for column in version["additionalPrinterColumns"]]
