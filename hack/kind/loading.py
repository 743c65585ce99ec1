"""Gives the nodes of a cluster images of this machine's container engine, without a registry."""

import fcntl
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hack.debian import want_room
from hack.kind.cluster import CTR, Cluster, Failed, folder
from hack.kind.image_store import MANIFEST_BYTES, STORE

_BLOBS = f"/{STORE}/io.containerd.content.v1.content/blobs/sha256"


def load(cluster: Cluster, references: Sequence[str]) -> None:
    """Copy images to every node.

    The layers are unpacked on arrival and then dropped; containers run from what remains.

    Raises:
        Failed: the engine has no such image, or a node refused it.
        Lacks: there is no room on the disk.
    """
    if not references:
        return
    folder(cluster.name).mkdir(parents=True, exist_ok=True)
    nodes = cluster.nodes()
    cluster.tell(f"{', '.join(references)} to {', '.join(nodes)}")
    # What another process has copied and not unpacked yet is not ours to drop.
    with (
        (folder(cluster.name) / "load.lock").open("w") as lock,
        # A node unpacks on one core.
        ThreadPoolExecutor(len(nodes)) as threads,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        list(threads.map(lambda node: _fill(cluster, node, references), nodes))


def load_missing(cluster: Cluster, references: Sequence[str]) -> None:
    """Copy the images that a node lacks.

    Raises:
        Failed: see `load`.
    """
    load(cluster, [one for one in references if not _held(cluster, one)])


def _held(cluster: Cluster, reference: str) -> bool:
    wanted = ("images", "list", "--quiet", f"name=={reference}")
    return all(cluster.on_node(node, *CTR, *wanted).strip() for node in cluster.nodes())


def _fill(cluster: Cluster, node: str, references: Sequence[str]) -> None:
    _copy(cluster, node, references)
    large = cluster.on_node(
        node, "find", _BLOBS, "-size", f"+{MANIFEST_BYTES >> 10}k", "-printf", "sha256:%f\n"
    )
    if large.split():
        cluster.on_node(node, *CTR, "content", "rm", *large.split())


def _copy(cluster: Cluster, node: str, references: Sequence[str]) -> None:
    provider = cluster.provider
    name = provider.tool.name
    # One archive: a layer that several images share is in it once.
    podman = ["--format=docker-archive", "--multi-image-archive"]
    save = [name, "save", *(podman if name == "podman" else []), *references]
    receive = [name, "exec", "--interactive", node, *CTR, "images", "import"]
    receive += ["--snapshotter=overlayfs", "-"]
    with subprocess.Popen(
        save, env=provider.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as source:
        done = subprocess.run(
            receive,
            env=provider.environment,
            stdin=source.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert source.stderr is not None
        said = source.stderr.read().decode(errors="replace")
    # On the way to a node images take twice their size.
    want_room(done.stderr, failure=f"{', '.join(references)} do not fit on {node}")
    if source.returncode or done.returncode:
        raise Failed(f"{', '.join(references)} could not be copied to {node}:\n{said}{done.stderr}")
