"""A cluster on this machine: made, reached, removed.

Our nodes' network is a bridge in each node; with two nodes the routes between them are set here.
Everything a cluster leaves on the machine is below `folder(NAME)` and in the container engine, and
goes with it.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from hack.images.catalog import IMAGES, ROOT, version
from hack.images.tool import Tool
from hack.kind.build import built
from hack.kind.provider import Provider

# kind names the context kind-NAME; the tests run only where a context starts with this.
DEFAULT_NAME = "nanodex"
_CONFIG = Path(__file__).with_name("kind.yaml")
_READY_SECONDS = 180
# Speaks to the runtime of a node.
CTR = ("ctr", "--namespace=k8s.io")


class Failed(Exception):
    """A command about the cluster failed; the message ends with what it said."""


def folder(name: str) -> Path:
    """Return where the files about a cluster are."""
    return ROOT / ".cache" / "kind" / name


def kubeconfig(name: str) -> Path:
    """Return the kubeconfig of a cluster."""
    return folder(name) / "kubeconfig"


def cluster_config(*, nodes: int, own: bool) -> dict[str, Any]:
    """Return kind's configuration of a cluster.

    Args:
        nodes: How many; the first is the control plane and runs Pods like the others.
        own: Whether the node image is ours.
    """
    config: dict[str, Any] = (
        yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
        if own
        else {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4"}
    )
    config["nodes"] = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(nodes - 1))]
    return config


class Cluster:
    """One cluster of kind."""

    def __init__(self, name: str, *, provider: Provider, tell: Callable[[str], None]) -> None:
        """Know a cluster that is there or will be.

        Args:
            name: Its name without `kind-`.
            provider: What its nodes are made with.
            tell: Is given a line of progress.
        """
        self.name = name
        self.provider = provider
        self.tell = tell
        self._tools = _tools()

    def exists(self) -> bool:
        """Return whether there is a cluster of this name."""
        return self.name in self.kind("get", "clusters").split()

    def up(self, *, nodes: int) -> None:
        """Create the cluster and wait until its nodes are ready.

        Raises:
            Failed: kind failed, or a cluster of this name is there.
        """
        if self.exists():
            raise Failed(f"there is a cluster {self.name}: remove it with `make kind-down`")
        folder(self.name).mkdir(parents=True, exist_ok=True)
        config = folder(self.name) / "kind.yaml"
        config.write_text(yaml.safe_dump(cluster_config(nodes=nodes, own=self.provider.own)))
        waited = nodes == 1 or not self.provider.own
        self.tell(f"a cluster {self.name} of {nodes} node(s), from {self.provider.image}")
        self.kind(
            "create", "cluster", "--name", self.name, "--image", self.provider.image,
            "--config", str(config), "--kubeconfig", str(kubeconfig(self.name)),
            *(["--wait", f"{_READY_SECONDS}s"] if waited else []),
        )  # fmt: skip
        if not waited:
            self.connect_nodes()
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
        self.kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns")
        # A single node, and the first of two, runs Pods too.
        self.kubectl(
            "taint", "nodes", "--all", "node-role.kubernetes.io/control-plane-", check=False
        )

    def down(self) -> None:
        """Remove the cluster, its network where no other uses it, and its files."""
        self.kind(
            "delete", "cluster", "--name", self.name, "--kubeconfig", str(kubeconfig(self.name))
        )
        if not self.kind("get", "clusters").strip():
            tool = self.provider.tool
            tool.output([tool.name, "network", "rm", "kind"])
        shutil.rmtree(folder(self.name), ignore_errors=True)

    def nodes(self) -> list[str]:
        """Return the names of the nodes, which are those of their containers."""
        return sorted(self.kind("get", "nodes", "--name", self.name).split())

    def connect_nodes(self) -> None:
        """Set the routes between the nodes' pod ranges; a restarted node needs it again."""
        ranges: dict[str, str] = {}
        for _ in range(_READY_SECONDS):
            items = json.loads(self.kubectl("get", "nodes", "--output=json"))["items"]
            ranges = {
                item["metadata"]["name"]: item["spec"]["podCIDR"]
                for item in items
                if "podCIDR" in item["spec"]
            }
            if len(ranges) == len(self.nodes()):
                break
            time.sleep(1)
        for node, pods in ranges.items():
            address = self._address(node)
            for other in ranges:
                if node != other:
                    self.on_node(other, "ip", "route", "replace", pods, "via", address)

    def _address(self, node: str) -> str:
        """Ask the node itself: one that was restarted has another than the API server knows."""
        said = self.on_node(node, "ip", "-json", "-4", "address", "show", "dev", "eth0")
        return str(json.loads(said)[0]["addr_info"][0]["local"])

    def stop_node(self, node: str) -> None:
        """Take a node's power away: nothing on it is told."""
        self._run([self.provider.tool.name, "kill", node])

    def start_node(self, node: str) -> None:
        """Switch a node on again."""
        self._run([self.provider.tool.name, "start", node])
        if self.provider.own and len(self.nodes()) > 1:
            self.connect_nodes()

    def on_node(self, node: str, *command: str) -> str:
        """Run a command on a node and return what it prints.

        Raises:
            Failed: it failed.
        """
        return self._run([self.provider.tool.name, "exec", node, *command])

    def kind(self, *arguments: str) -> str:
        """Run kind."""
        return self._run([self._tools["kind"], *arguments])

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Run kubectl against the cluster."""
        kubectl: list[str | Path] = [self._tools["kubectl"]]
        kubectl += [f"--kubeconfig={kubeconfig(self.name)}", *arguments]
        return self._run(kubectl, check=check)

    def helm(self, *arguments: str) -> str:
        """Run Helm against the cluster."""
        helm = built(["helm"])["helm"]
        return self._run([helm, *arguments, f"--kubeconfig={kubeconfig(self.name)}"])

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        """Apply objects, in their order.

        Raises:
            Failed: the API server refused one.
        """
        # Through standard input: a Secret is never in a file.
        self._run(
            [
                self._tools["kubectl"],
                f"--kubeconfig={kubeconfig(self.name)}",
                *("apply", "--server-side", "--force-conflicts", "--filename=-"),
            ],
            given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
        )

    def _run(self, command: Sequence[str | Path], *, check: bool = True, given: str = "") -> str:
        done = subprocess.run(
            command,
            env=self.provider.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            shown = " ".join(map(str, command[:4]))
            raise Failed(f"{shown} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
        return done.stdout


def _tools() -> dict[str, Path]:
    """Return kind and kubectl: built here, for both must know this Kubernetes."""
    return built(["kind", "kubectl"])


def product_images(tool: Tool) -> list[str]:
    """Return the images of the product that this machine has built and a cluster runs."""
    references = [image.reference(version()) for image in IMAGES.values() if image.name != "torch"]
    return [reference for reference in references if tool.has(reference)]
