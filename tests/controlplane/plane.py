"""A real control plane: etcd, kube-apiserver and kube-controller-manager on loopback.

There is no kubelet, no scheduler and no network: `tests/controlplane/node.py` plays the nodes.
Every flag is either what kubeadm sets, or has a comment.
"""

import contextlib
import random
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.controlplane.api import Api, eventually
from tests.controlplane.certificates import Authority, KeyPair, signing_key
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.processes import ProcessGroup, Server

SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager")
# Below the range that the kernel takes the ports of outgoing connections from: a client that keeps
# trying a stopped server's port would else, sooner or later, be given that port and meet itself.
_PORTS = range(20_000, 30_000)
_START_SECONDS = 90.0


class ControlPlane:
    """One cluster without nodes, in one folder."""

    def __init__(self, folder: Path, *, binaries: Mapping[str, Path]) -> None:
        self.folder = folder
        self._credentials = folder / "credentials"
        self._data = folder / "etcd"
        self._credentials.mkdir(parents=True, mode=0o700)
        self._clients = Authority("nanodex-test-clients")
        self._storage = Authority("nanodex-test-etcd")
        self._ports = dict(zip(("api", "etcd", "peer"), _free_ports(3), strict=True))
        self._write_credentials()
        self.kubeconfig = self.user_kubeconfig("admin", groups=("system:masters",))
        self.api = Api(self.kubeconfig)
        self.group = ProcessGroup()
        self._etcd = self._server("etcd", binaries, self._etcd_flags())
        self._apiserver = self._server("kube-apiserver", binaries, self._apiserver_flags())
        self._controllers = self._server(
            "kube-controller-manager", binaries, self._controller_flags()
        )

    @property
    def url(self) -> str:
        """Where the API server is."""
        return f"https://127.0.0.1:{self._ports['api']}"

    def start(self) -> None:
        """Start everything and wait until it works."""
        self._etcd.start()
        self.start_apiserver()
        # It ends when the roles that the API server makes at its first start are missing.
        self._controllers.start()
        self._controllers.wait_until(
            lambda: self.api.find("v1/serviceaccounts", "default", namespace="default") is not None,
            seconds=_START_SECONDS,
        )

    def stop(self) -> None:
        """End everything at once; the logs stay."""
        self.api.close()
        for server in (self._controllers, self._apiserver, self._etcd):
            server.kill()
        self.group.end()
        shutil.rmtree(self._data, ignore_errors=True)

    def start_apiserver(self) -> None:
        """Start the API server, on the same port as before, and wait until it is ready."""
        self._apiserver.start()
        try:
            self._apiserver.wait_until(self.api.ready, seconds=_START_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._etcd.tail()}") from None

    def stop_apiserver(self) -> None:
        """End the API server as a crash would: connections break, nothing is said."""
        self._apiserver.kill()

    @contextlib.contextmanager
    def etcd_paused(self) -> Iterator[None]:
        """Let etcd answer nothing: writes and uncached reads wait, the API server stays up."""
        self._etcd.pause()
        try:
            yield
        finally:
            self._etcd.resume()

    @contextlib.contextmanager
    def etcd_slow(self, *, paused: float = 0.2, running: float = 0.02) -> Iterator[None]:
        """Let etcd run for `running` seconds only in between pauses of `paused` seconds."""
        done = threading.Event()

        def brake() -> None:
            while not done.is_set():
                with self.etcd_paused():
                    done.wait(paused)
                time.sleep(running)

        braking = threading.Thread(target=brake)
        braking.start()
        try:
            yield
        finally:
            done.set()
            braking.join()

    def create_namespace(
        self, prefix: str = "test", *, labels: Mapping[str, str] | None = None
    ) -> str:
        """Create a namespace with a name of its own, ready for Pods, and return the name."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.api.create("v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
        eventually(lambda: self.api.find("v1/serviceaccounts", "default", namespace=name))
        return name

    def delete_namespace(self, name: str) -> None:
        """Begin to delete a namespace, and its Pods at once: no kubelet may be there to do it."""
        if not self._apiserver.runs:  # a test that failed in between may have left it so
            self.start_apiserver()
        self.api.delete("v1/namespaces", name)
        for pod in self.api.find_all("v1/pods", namespace=name):
            self.api.delete("v1/pods", pod["metadata"]["name"], namespace=name, grace_seconds=0)

    def user_kubeconfig(self, user: str, *, groups: Sequence[str] = ()) -> Path:
        """Return the path of a kubeconfig for any user: who it is, a client certificate says."""
        return self._kubeconfig(user, self._clients.client(user, groups=groups))

    def service_account_kubeconfig(self, name: str, *, namespace: str, seconds: int = 3600) -> Path:
        """Return the path of a kubeconfig with a token that the API server made for an account."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        made = self.api.post("v1/serviceaccounts", name, "token", request, namespace=namespace)
        return self._kubeconfig(f"{namespace}-{name}", made["status"]["token"], namespace=namespace)

    def _kubeconfig(
        self, name: str, identity: KeyPair | str, *, namespace: str = "default"
    ) -> Path:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name)
        return write_kubeconfig(
            self._credentials / f"{plain}-{uuid.uuid4().hex[:8]}.kubeconfig",
            name=plain,
            server=self.url,
            authority=self._clients.certificate,
            identity=identity,
            namespace=namespace,
        )

    def _write_credentials(self) -> None:
        private, public = signing_key()
        self._write("service-accounts.key", private)
        self._write("service-accounts.pub", public)
        self._write("clients.crt", self._clients.certificate)
        self._write("storage.crt", self._storage.certificate)
        hosts = ("127.0.0.1", "localhost", "kubernetes.default.svc")
        for name, pair in (
            ("apiserver", self._clients.server("kube-apiserver", hosts=hosts)),
            ("etcd", self._storage.member("etcd", hosts=("127.0.0.1", "localhost"))),
            ("etcd-client", self._storage.client("kube-apiserver")),
        ):
            self._write(f"{name}.crt", pair.certificate)
            self._write(f"{name}.key", pair.key)

    def _write(self, name: str, content: bytes) -> None:
        path = self._credentials / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def _server(self, name: str, binaries: Mapping[str, Path], flags: Mapping[str, str]) -> Server:
        return Server(
            [binaries[name], *(f"--{flag}={value}" for flag, value in flags.items())],
            group=self.group,
            log=self.folder / f"{name}.log",
            name=name,
        )

    def _etcd_flags(self) -> dict[str, str]:
        client = f"https://127.0.0.1:{self._ports['etcd']}"
        peer = f"http://127.0.0.1:{self._ports['peer']}"
        return {
            "name": "nanodex-test",
            "data-dir": str(self._data),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"nanodex-test={peer}",
            "cert-file": str(self._credentials / "etcd.crt"),
            "key-file": str(self._credentials / "etcd.key"),
            "trusted-ca-file": str(self._credentials / "storage.crt"),
            "client-cert-auth": "true",
            # A crash of the machine loses the test, too.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    def _apiserver_flags(self) -> dict[str, str]:
        return {
            "etcd-servers": f"https://127.0.0.1:{self._ports['etcd']}",
            "etcd-cafile": str(self._credentials / "storage.crt"),
            "etcd-certfile": str(self._credentials / "etcd-client.crt"),
            "etcd-keyfile": str(self._credentials / "etcd-client.key"),
            "bind-address": "127.0.0.1",
            "secure-port": str(self._ports["api"]),
            # It would look for a default route to advertise; nobody listens to it.
            "advertise-address": "192.0.2.1",
            "endpoint-reconciler-type": "none",
            "tls-cert-file": str(self._credentials / "apiserver.crt"),
            "tls-private-key-file": str(self._credentials / "apiserver.key"),
            "client-ca-file": str(self._credentials / "clients.crt"),
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": str(self._credentials / "service-accounts.pub"),
            "service-account-signing-key-file": str(self._credentials / "service-accounts.key"),
            "service-cluster-ip-range": "10.96.0.0/16",
        }

    def _controller_flags(self) -> dict[str, str]:
        kubeconfig = self.user_kubeconfig("system:kube-controller-manager")
        return {
            "kubeconfig": str(kubeconfig),
            # Nodes of the tests send no heartbeats.
            "controllers": "*,-node-lifecycle-controller",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": str(self._credentials / "service-accounts.key"),
            "root-ca-file": str(self._credentials / "clients.crt"),
            # There is one; and nobody asks it anything.
            "leader-elect": "false",
            "secure-port": "0",
            # The tests wait for its work: the default of 20 requests a second is for big clusters.
            "kube-api-qps": "500",
            "kube-api-burst": "1000",
        }


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports on loopback")
