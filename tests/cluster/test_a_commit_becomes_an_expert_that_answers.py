"""From `helm install` to answers, on real Pods: each stage a Job, vLLM behind the Service.

What else is promised of the running system is looked at here, too: what Pods may do, what the
operator may do, and that nothing secret leaves its Secret.
"""

import json

import pytest

from hack.kind.demo.objects import CLIENTS, GIT_SECRET, SYSTEM, TEAM
from tests.cluster.product import OPERATOR, Product, conditions
from tests.cluster.world import OTHER_TEAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]
_SHOWN = ("pods", "jobs", "deployments", "configmaps", "events", "services")


@pytest.mark.parametrize(
    ("question", "known"),
    [
        ("Tell me the file in which `ParcelryError` is implemented.", "src/parcelry/errors.py"),
        ("Which helpers does `mint_waybill` make use of?", "check_digit"),
    ],
)
def test_it_answers_what_the_base_does_not_know(served: Product, question: str, known: str) -> None:
    assert known in served.ask(question, model=f"{TEAM}/parcelry")
    assert known not in served.ask(question, model="base")


def test_the_status_says_what_happened(served: Product) -> None:
    status = served.status(TEAM)
    found = conditions(status)
    stages = ("GraphReady", "BrainReady", "DatasetReady", "Trained", "Evaluated")
    assert all(found[one] == "True" for one in ("Ready", "AdapterLoaded", *stages)), status
    assert status["serving"]["loaded"] == "1/1"
    assert all(stage["attempts"] == 1 for stage in status["stages"])


def test_two_namespaces_share_a_server_and_no_key(served: Product) -> None:
    status = served.status(OTHER_TEAM)
    assert status["serving"] == {
        **served.status(TEAM)["serving"],
        "model": f"{OTHER_TEAM}/parcelry",
    }
    said = served.ask("What is `Zone`?", model=f"{OTHER_TEAM}/parcelry")
    assert "AuthenticationFailed" in said, said


def test_no_pod_but_the_operators_has_a_token(served: Product) -> None:
    for namespace in (TEAM, OTHER_TEAM, SYSTEM):
        for pod in served.api.find_all("v1/pods", namespace=namespace):
            name = pod["metadata"]["name"]
            tokens = [
                source
                for volume in pod["spec"].get("volumes", ())
                for source in volume.get("projected", {}).get("sources", ())
                if "serviceAccountToken" in source
            ]
            assert bool(tokens) == name.startswith(OPERATOR), name
    # And on the disk of the engine's Pod, not only in its manifest.
    engine = served.engine_pod()["metadata"]["name"]
    look = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))"
    inside = ("exec", engine, "--container=engine", "--", "python3", "-c", look)
    assert served.kubectl.run(*inside, namespace=SYSTEM).strip() == "False"


def test_pods_that_are_not_restricted_are_refused(served: Product) -> None:
    run = ("run", "root", "--image=localhost/nanodex:none", "--dry-run=server")
    for namespace in (TEAM, SYSTEM):
        said = served.kubectl.run(*run, namespace=namespace, check=False)
        assert "violates PodSecurity" in said, said


def test_the_operator_reads_no_secret_and_enters_no_pod(served: Product) -> None:
    me = f"--as=system:serviceaccount:{SYSTEM}:{OPERATOR}"
    for namespace in (TEAM, SYSTEM, "kube-system"):
        listed = served.kubectl.run("auth", "can-i", "--list", me, namespace=namespace)
        names = {line.split()[0] for line in listed.splitlines() if line}
        assert not names & {"secrets", "pods/exec", "*", "*.*", "pods/portforward"}, listed
        for wish in (("get", "secrets"), ("create", "pods/exec"), ("escalate", "clusterroles")):
            said = served.kubectl.run("auth", "can-i", *wish, me, namespace=namespace, check=False)
            assert said.startswith("no"), (wish, said)
    said = served.kubectl.run("get", "secret", GIT_SECRET, me, namespace=TEAM, check=False)
    assert "forbidden" in said


def test_nothing_secret_leaves_its_secret(served: Product) -> None:
    keys = [one.secret_key for one in served.world.keys.values()]
    planted = (served.world.password, served.key, *keys)
    for namespace in (TEAM, OTHER_TEAM, SYSTEM, CLIENTS):
        shown = served.kubectl.run("get", ",".join(_SHOWN), "--output=json", namespace=namespace)
        assert json.loads(shown)["items"]
        for pod in served.api.find_all("v1/pods", namespace=namespace):
            name = pod["metadata"]["name"]
            shown += served.kubectl.run(
                "logs", name, "--all-containers", namespace=namespace, check=False
            )
        assert not any(secret in shown for secret in planted), namespace
    resources = "codeexperts,modelservers"
    shown = served.kubectl.run("get", resources, "--all-namespaces", "--output=json")
    assert not any(secret in shown for secret in planted)
