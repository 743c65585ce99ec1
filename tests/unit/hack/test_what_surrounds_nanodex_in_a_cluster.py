"""The store and the git server of the tests' cluster, as objects."""

import json
from typing import Any

import pytest

from hack.kind.world.images import reference_of
from hack.kind.world.manifests import Keys, git_server, namespace, s3_store

KEYS = Keys(name="a", access_key="key", secret_key="very secret", actions=("Read", "Write:b/a"))
STORE = s3_store(namespace="world", image="localhost/s3:1", keys=(KEYS,))
GIT = git_server(
    namespace="world",
    image="localhost/git:1",
    tls={"tls.crt": "certificate", "tls.key": "very secret"},
    auth={"username": "reader", "password": "very secret"},
    bundles={"parcelry": b"\x00bundle"},
)
DEPLOYMENTS = [one for one in (*STORE, *GIT) if one["kind"] == "Deployment"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: str(one["metadata"]["name"]))
def test_every_pod_fits_into_a_restricted_namespace(deployment: dict[str, Any]) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_namespace_says_that_its_pods_are_restricted() -> None:
    labels = namespace("team-a")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_secrets_stand_in_secrets_alone() -> None:
    for body in (*STORE, *GIT):
        assert ("very secret" in json.dumps(body)) == (body["kind"] == "Secret")


def test_an_identity_of_the_store_may_do_what_is_said_and_no_more() -> None:
    [config] = [one for one in STORE if one["metadata"]["name"] == "s3-identities"]
    [identity] = json.loads(config["stringData"]["s3.json"])["identities"]
    assert identity["actions"] == ["Read", "Write:b/a"]


def test_an_image_of_another_registry_has_the_same_name_and_tag() -> None:
    ours, theirs = reference_of("git"), reference_of("git", registry="registry.example.com/t")
    assert ours.startswith("localhost/nanodex-test-git:")
    assert theirs == ours.replace("localhost/", "registry.example.com/t/")
