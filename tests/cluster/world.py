"""What surrounds nanodex in the tests' cluster, and the looks that tests take at Pods."""

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hack.kind.demo.objects import (
    GIT_SECRET,
    PREFIX,
    STORE_SECRET,
    SYSTEM,
    TEAM,
    WORLD,
    store_keys,
)
from hack.kind.world.images import reference_of
from hack.kind.world.manifests import (
    BUCKET,
    HTTPS_PORT,
    SSH_PORT,
    bucket,
    endpoint,
    git_server,
    namespace,
    s3_store,
    secret,
)
from tests.cluster.nodes import HOSTNAME, Nodes, is_ready
from tests.cluster.ssh import SshKeys
from tests.controlplane.api import Api, Object
from tests.controlplane.certificates import Authority

_READY_SECONDS = 180
OTHER_TEAM = "team-b"
# Whose stages run without an operator, on a store of their own.
STAGES_TEAM = "nanodex-test-stages"
TEAMS = (TEAM, OTHER_TEAM, STAGES_TEAM)
_OWN_PREFIX = "tests"


class World:
    """A store and a git server in a namespace of their own, and namespaces of tenants."""

    def __init__(self, api: Api, *, registry: str, images: Mapping[str, str]) -> None:
        self.api = api
        self.images = images
        self._registry = registry
        self._authority = Authority("nanodex tests")
        self._trusted = self._authority.certificate.decode()
        self._ssh = SshKeys()
        self.nodes = Nodes(api)
        # Whether the demo made it: then it stays.
        self.adopted = False
        self.password = secrets.token_urlsafe(16)
        # Of the store, by namespace: none reaches more than it needs.
        self.keys = store_keys(TEAMS, prefixes=(PREFIX, _OWN_PREFIX))
        self._namespaces: list[str] = []

    @property
    def endpoint(self) -> str:
        """Address of the store in the cluster."""
        return endpoint(WORLD)

    @property
    def store(self) -> str:
        """Where artifacts of a test of its own are kept."""
        return f"s3://{BUCKET}/{_OWN_PREFIX}"

    def repository(self, name: str) -> str:
        """Return the address of a repository in the cluster."""
        return f"https://git.{WORLD}.svc:{HTTPS_PORT}/{name}.git"

    def ssh_repository(self, name: str) -> str:
        """Return its address over ssh."""
        return f"ssh://nanodex@git.{WORLD}.svc:{SSH_PORT}/repositories/{name}.git"

    def build(self, *, bundles: Mapping[str, bytes]) -> None:
        """Make store and git server, and wait until they answer; the demo's are taken over."""
        self._wait_for_removal(TEAM)
        if self.api.find("v1/secrets", GIT_SECRET, namespace=TEAM) is not None:
            self._adopt()
            return
        self.tenant(WORLD)
        server = self._authority.server("git", hosts=[f"git.{WORLD}.svc"])
        for body in (
            *s3_store(namespace=WORLD, image=self._image("s3"), keys=[*self.keys.values()]),
            *git_server(
                namespace=WORLD,
                image=self._image("git"),
                tls={"tls.crt": server.certificate.decode(), "tls.key": server.key.decode()},
                auth={"username": "reader", "password": self.password, **self._ssh.of_server()},
                bundles=bundles,
            ),
        ):
            self.apply(body)
        for name in ("s3", "git"):
            # What they hold goes with their Pods, so they stay where no test empties a node.
            selector = {HOSTNAME: self.nodes.hostname(self.nodes.keeper)}
            pod = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
            self.api.patch("apps/v1/deployments", name, pod, namespace=WORLD)
            self.wait_for_deployment(name, namespace=WORLD)
        self._make_bucket()

    def _adopt(self) -> None:
        self.adopted = True
        git = self._values(GIT_SECRET, namespace=TEAM)
        self.password, self._trusted = git["password"], git["ca.crt"]
        # Teams that its store has never heard of go in with its owner's.
        known = (WORLD, SYSTEM, TEAM)
        for name, keys in self.keys.items():
            store = self._values(STORE_SECRET, namespace=name if name in known else WORLD)
            self.keys[name] = replace(
                keys,
                access_key=store["AWS_ACCESS_KEY_ID"],
                secret_key=store["AWS_SECRET_ACCESS_KEY"],
            )

    def _values(self, name: str, *, namespace: str) -> dict[str, str]:
        data = self.api.get("v1/secrets", name, namespace=namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def reseed(self, bundles: Mapping[str, bytes]) -> None:
        """Give the git server other commits, and wait for the Pod that begins with them."""
        data = {f"{name}.bundle": base64.b64encode(one).decode() for name, one in bundles.items()}
        self.api.patch("v1/configmaps", "git-seed", {"binaryData": data}, namespace=WORLD)
        former = {pod["metadata"]["name"] for pod in self._git_pods()}
        for name in former:
            self.api.delete("v1/pods", name, namespace=WORLD, grace_seconds=0)

        def replaced() -> bool:
            pods = {pod["metadata"]["name"]: is_ready(pod) for pod in self._git_pods()}
            return not former & set(pods) and any(pods.values())

        self._until(replaced, "a new git server", namespace=WORLD)

    def _git_pods(self) -> list[Object]:
        labels = "app.kubernetes.io/name=git"
        return self.api.find_all("v1/pods", namespace=WORLD, labels=labels)

    def hide_store(self, *, hidden: bool) -> None:
        """Take the store off the network, or put it back: a Pod of it that ends forgets.

        A connection that is open stays open.
        """
        name = "nobody" if hidden else "s3"
        selector = {"spec": {"selector": {"app.kubernetes.io/name": name}}}
        self.api.patch("v1/services", "s3", selector, namespace=WORLD)

    def remove(self) -> None:
        """Remove all namespaces that were made."""
        if self.adopted:
            return
        for name in self._namespaces:
            self.api.delete("v1/namespaces", name)

    def tenant(self, name: str) -> str:
        """Make a restricted namespace with the Secrets of somebody who learns a repository."""
        if name not in self._namespaces:
            self._namespaces.append(name)
        self._wait_for_removal(name)
        self.apply(namespace(name))
        if name in self.keys:
            self.apply(self.keys[name].secret(STORE_SECRET, namespace=name))
        self.apply(self.git_secret(GIT_SECRET, namespace=name))
        return name

    def git_secret(self, name: str, *, namespace: str) -> Object:
        """Return the Secret that opens the git server."""
        values = {
            "username": "reader",
            "password": self.password,
            "ca.crt": self._trusted,
        }
        return secret(name, namespace=namespace, values=values)

    def ssh_secret(self, name: str, *, namespace: str, host_key: str = "") -> Object:
        """Return the Secret that opens the git server over ssh.

        Args:
            name: of the Secret.
            namespace: where it is.
            host_key: of the server as the Secret knows it; empty is the right one.
        """
        values = self._ssh.of_client(f"[git.{WORLD}.svc]:{SSH_PORT}", host_key=host_key)
        return secret(name, namespace=namespace, values=values)

    def apply(self, body: Object) -> Object:
        """Apply an object."""
        metadata = body["metadata"]
        plural = f"{body['kind'].lower()}s"
        return self.api.apply(
            f"{body['apiVersion']}/{plural}", body, namespace=metadata.get("namespace", "")
        )

    def wait_for_deployment(self, name: str, *, namespace: str) -> None:
        """Wait until a Deployment has the Pods that it wants, and no others."""

        def rolled_out() -> bool:
            found = self.api.get("apps/v1/deployments", name, namespace=namespace)
            wanted, status = found["spec"]["replicas"], found.get("status", {})
            return status.get("observedGeneration") == found["metadata"]["generation"] and all(
                status.get(count, 0) == wanted
                for count in ("replicas", "updatedReplicas", "readyReplicas")
            )

        self._until(rolled_out, f"Deployment {name}", namespace=namespace)

    def wait_for_job(self, name: str, *, namespace: str, seconds: float) -> Object:
        """Wait until a Job has ended, and return the Pod that was its last."""

        def over() -> bool:
            job = self.api.get("batch/v1/jobs", name, namespace=namespace)
            return any(
                one["type"] in ("Complete", "Failed") and one["status"] == "True"
                for one in job.get("status", {}).get("conditions", ())
            )

        self._until(over, f"Job {name}", namespace=namespace, seconds=seconds)
        pods = self.api.find_all(
            "v1/pods", namespace=namespace, labels=f"batch.kubernetes.io/job-name={name}"
        )
        return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def explain(self, namespace: str) -> str:
        """Return what somebody would look at first: events and Pods that are not well."""
        events = self.api.find_all("v1/events", namespace=namespace)
        lines = [f"{one['involvedObject']['name']}: {one.get('message', '')}" for one in events]
        pods = self.api.find_all("v1/pods", namespace=namespace)
        lines += [f"{pod['metadata']['name']}: {pod['status']}" for pod in pods]
        return "\n".join(lines[-60:])

    def _until(
        self, look: Any, what: str, *, namespace: str, seconds: float = _READY_SECONDS
    ) -> None:
        deadline = time.monotonic() + seconds
        while not look():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{what} is not there after {seconds:.0f} s\n{self.explain(namespace)}"
                )
            time.sleep(0.5)

    def _wait_for_removal(self, name: str) -> None:
        """Wait while a namespace of a run before is being removed: what is put there goes too."""

        def settled() -> bool:
            found = self.api.find("v1/namespaces", name)
            return found is None or "deletionTimestamp" not in found["metadata"]

        self._until(settled, f"the end of namespace {name}", namespace=name)

    def _make_bucket(self) -> None:
        self.apply(bucket(namespace=WORLD, image=self.images["nanodex"], secret=STORE_SECRET))
        pod = self.wait_for_job("bucket", namespace=WORLD, seconds=_READY_SECONDS)
        assert pod["status"]["phase"] == "Succeeded", self.explain(WORLD)

    def _image(self, name: str) -> str:
        return reference_of(name, registry=self._registry)
