"""Gives the nodes of a cluster images of this machine's container engine, without a registry."""

import fcntl
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from tempfile import TemporaryFile

from hack.debian import want_room
from hack.kind.cluster import CTR, Cluster, Failed, folder
from hack.kind.image_store import MANIFEST_BYTES, STORE

_PIECE_BYTES = 1 << 20
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
    with (folder(cluster.name) / "load.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _copy(cluster, nodes, references)
        # A node drops on one core.
        with ThreadPoolExecutor(len(nodes)) as threads:
            list(threads.map(lambda node: _drop_layers(cluster, node), nodes))


def load_missing(cluster: Cluster, references: Sequence[str]) -> None:
    """Copy the images that a node lacks.

    Raises:
        Failed: see `load`.
    """
    load(cluster, [one for one in references if not _held(cluster, one)])


def _held(cluster: Cluster, reference: str) -> bool:
    wanted = ("images", "list", "--quiet", f"name=={reference}")
    return all(cluster.on_node(node, *CTR, *wanted).strip() for node in cluster.nodes())


def _drop_layers(cluster: Cluster, node: str) -> None:
    large = cluster.on_node(
        node, "find", _BLOBS, "-size", f"+{MANIFEST_BYTES >> 10}k", "-printf", "sha256:%f\n"
    )
    if large.split():
        cluster.on_node(node, *CTR, "content", "rm", *large.split())


class _Receiver:
    """A node that imports an archive while it comes."""

    def __init__(
        self, node: str, command: Sequence[str], *, environment: Mapping[str, str]
    ) -> None:
        self.node = node
        # Its length is nobody's to know beforehand, and a full pipe would stop the node.
        self._said = TemporaryFile()
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    def take(self, piece: bytes) -> None:
        """Hand over a piece; one that has ended takes none, and says why at the end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(piece)

    def close(self) -> None:
        """Say that this was all: it unpacks now."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> str | None:
        """Return what the node said if it failed, once it has unpacked everything."""
        self._process.wait()
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
        return said if self._process.returncode else None


def _copy(cluster: Cluster, nodes: Sequence[str], references: Sequence[str]) -> None:
    """Read the images once, and write them to all nodes."""
    name, environment = cluster.provider.tool.name, cluster.provider.environment
    # One archive: a layer that several images share is in it once.
    podman = ["--format=docker-archive", "--multi-image-archive"]
    save = [name, "save", *(podman if name == "podman" else []), *references]
    importing = [*CTR, "images", "import", "--snapshotter=overlayfs", "-"]
    with (
        TemporaryFile() as complaints,
        subprocess.Popen(
            save, env=environment, stdout=subprocess.PIPE, stderr=complaints
        ) as source,
    ):
        receivers = [
            _Receiver(
                node, [name, "exec", "--interactive", node, *importing], environment=environment
            )
            for node in nodes
        ]
        assert source.stdout is not None
        while piece := source.stdout.read(_PIECE_BYTES):
            for receiver in receivers:
                receiver.take(piece)
        for receiver in receivers:
            receiver.close()
        failed = {one.node: said for one in receivers if (said := one.end()) is not None}
        source.wait()
        complaints.seek(0)
        complaint = complaints.read().decode(errors="replace")
    what = ", ".join(references)
    for node, said in failed.items():
        # On the way to a node images take twice their size.
        want_room(said, failure=f"{what} do not fit on {node}")
    if source.returncode or failed:
        said = "".join(f"\n{node}: {said}" for node, said in failed.items())
        raise Failed(
            f"{what} could not be copied to {', '.join(failed or nodes)}:\n{complaint}{said}"
        )
