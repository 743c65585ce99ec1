"""The control plane of the tests is a real one, and no other is ever touched."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from hack.kind.build import KUBERNETES
from tests.controlplane.api import Api, Refused, eventually
from tests.controlplane.jobs import build_job, build_pod_spec
from tests.controlplane.kubeconfig import ForeignContext, write_kubeconfig
from tests.controlplane.plane import ControlPlane

pytestmark = pytest.mark.controlplane

ROOT = Path(__file__).parents[2]


def test_it_is_the_kubernetes_of_go_mod(api: Api) -> None:
    version = api.version()
    assert version["gitVersion"] == KUBERNETES
    assert (version["major"], version["minor"]) == tuple(KUBERNETES[1:].split(".")[:2])


def test_kubectl_talks_to_it(control_plane: ControlPlane, kubectl: Path, namespace: str) -> None:
    command = [str(kubectl), f"--kubeconfig={control_plane.kubeconfig}"]
    done = subprocess.run(
        [*command, "get", "namespace", namespace, "--output=name"],
        capture_output=True,
        text=True,
        check=True,
        cwd=control_plane.folder,
    )
    assert done.stdout == f"namespace/{namespace}\n"
    said = subprocess.run([*command, "version"], capture_output=True, text=True, check=True)
    assert f"Client Version: {KUBERNETES}" in said.stdout
    assert f"Server Version: {KUBERNETES}" in said.stdout


def test_a_job_becomes_a_pod(api: Api, namespace: str) -> None:
    job = api.create("batch/v1/jobs", build_job("extract"), namespace=namespace)
    [pod] = eventually(
        lambda: api.find_all(
            "v1/pods", namespace=namespace, labels="batch.kubernetes.io/job-name=extract"
        )
    )
    [owner] = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
    assert pod["status"]["phase"] == "Pending"


def test_what_an_object_owns_goes_with_it(api: Api, namespace: str) -> None:
    owner = api.create("v1/configmaps", {"metadata": {"name": "owner"}}, namespace=namespace)
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    api.create("v1/configmaps", owned, namespace=namespace)
    api.delete("v1/configmaps", "owner", namespace=namespace)
    eventually(lambda: api.find("v1/configmaps", "owned", namespace=namespace) is None)


def test_a_service_account_has_the_rights_that_it_was_given(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    api.create("v1/serviceaccounts", {"metadata": {"name": "reader"}}, namespace=namespace)
    kubeconfig = control_plane.service_account_kubeconfig("reader", namespace=namespace)
    with Api(kubeconfig) as reader:
        with pytest.raises(Refused) as refused:
            reader.find_all("v1/pods", namespace=namespace)
        assert refused.value.status == 403
        user = f'User "system:serviceaccount:{namespace}:reader" cannot list resource "pods"'
        assert user in refused.value.message

        role = {
            "metadata": {"name": "pods"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
        }
        binding = {
            "metadata": {"name": "pods"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
        }
        rbac = "rbac.authorization.k8s.io/v1"
        api.create(f"{rbac}/roles", role, namespace=namespace)
        api.create(f"{rbac}/rolebindings", binding, namespace=namespace)
        assert eventually(lambda: _allowed(reader, namespace)) == "yes"
        with pytest.raises(Refused, match="403 Forbidden"):
            reader.find_all("v1/secrets", namespace=namespace)


def _allowed(user: Api, namespace: str) -> str:
    try:
        user.find_all("v1/pods", namespace=namespace)
    except Refused:
        return ""
    return "yes"


def test_a_user_is_who_its_certificate_says(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.user_kubeconfig("jo", groups=("developers",))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with Api(kubeconfig) as jo:
        found = jo.create("authentication.k8s.io/v1/selfsubjectreviews", review)
    assert found["status"]["userInfo"]["username"] == "jo"
    assert "developers" in found["status"]["userInfo"]["groups"]


def test_a_pod_as_root_is_refused(api: Api, namespace: str) -> None:
    spec = build_pod_spec()
    pod = {"metadata": {"name": "worker"}, "spec": spec}
    api.create("v1/pods", pod, namespace=namespace)
    spec["securityContext"] = {"runAsUser": 0}
    pod["metadata"] = {"name": "root"}
    with pytest.raises(Refused, match='violates PodSecurity "restricted:latest"') as refused:
        api.create("v1/pods", pod, namespace=namespace)
    assert "runAsNonRoot != true" in refused.value.message


def test_a_restarted_api_server_has_what_was_written(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    made = api.create("v1/configmaps", {"metadata": {"name": "kept"}}, namespace=namespace)
    control_plane.stop_apiserver()
    assert not api.ready()
    control_plane.start_apiserver()
    assert api.get("v1/configmaps", "kept", namespace=namespace) == made
    # The controllers come back by themselves.
    api.create("batch/v1/jobs", build_job("after"), namespace=namespace)
    eventually(lambda: api.find_all("v1/pods", namespace=namespace))


def test_a_write_waits_for_a_paused_etcd(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    written = threading.Event()

    def write() -> None:
        api.create("v1/configmaps", {"metadata": {"name": "late"}}, namespace=namespace)
        written.set()

    with control_plane.etcd_paused():
        writing = threading.Thread(target=write)
        writing.start()
        assert not written.wait(0.5)
    writing.join()
    assert written.is_set()


def test_a_slow_etcd_loses_nothing(control_plane: ControlPlane, api: Api, namespace: str) -> None:
    with control_plane.etcd_slow():
        begin = time.monotonic()
        for number in range(5):
            api.create(
                "v1/configmaps", {"metadata": {"name": f"slow-{number}"}}, namespace=namespace
            )
        assert time.monotonic() - begin > 0.2
    names = {
        each["metadata"]["name"] for each in api.find_all("v1/configmaps", namespace=namespace)
    }
    assert {f"slow-{number}" for number in range(5)} <= names


def test_a_namespace_goes_with_its_pods(control_plane: ControlPlane, api: Api) -> None:
    name = control_plane.create_namespace()
    api.create("batch/v1/jobs", build_job("extract"), namespace=name)
    eventually(lambda: api.find_all("v1/pods", namespace=name))
    control_plane.delete_namespace(name)
    eventually(lambda: api.find("v1/namespaces", name) is None, seconds=60)


def test_another_cluster_is_refused(control_plane: ControlPlane, tmp_path: Path) -> None:
    text = control_plane.kubeconfig.read_text()
    for number, context in enumerate(("production", "kind-kind", "my-nanodex-test")):
        foreign = tmp_path / f"{number}.kubeconfig"
        foreign.write_text(text.replace("nanodex-test-admin", context))
        with pytest.raises(ForeignContext, match=f"leads to the context '{context}'"):
            Api(foreign)
    nothing = tmp_path / "nothing.kubeconfig"
    nothing.write_text("{}")
    with pytest.raises(ForeignContext):
        Api(nothing)
    kind = tmp_path / "kind.kubeconfig"
    kind.write_text(text.replace("nanodex-test-admin", "kind-nanodex"))
    with Api(kind) as ours:
        assert ours.ready()


def test_credentials_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, name="jo", server="https://127.0.0.1:1", authority=b"", identity="token")
    assert path.stat().st_mode & 0o777 == 0o600


# Starts a server in a group as the control plane does, and tells its process id.
_TEST_PROCESS = """
import sys, time
from pathlib import Path
from tests.controlplane.processes import ProcessGroup, Server
server = Server(["sleep", "600"], group=ProcessGroup(), log=Path(sys.argv[1]), name="sleep")
server.start()
print(server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_servers_end_with_the_test_process(end: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TEST_PROCESS, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        server = psutil.Process(int(process.stdout.readline()))
        assert server.name() == "sleep"
        getattr(process, end)()
    eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
