"""Fills the image store of a node's containerd before there is a node.

The node's own containerd runs once inside the root file system that will be the node's, imports the
archives and unpacks them. Then the archives' layers go: a node starts containers from the unpacked
ones and never asks for the others.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from hack.images.tool import BuildFailed

STORE = "var/lib/containerd"
# What is larger in a store's content is a layer: manifests and configurations are JSON of some KB.
MANIFEST_BYTES = 256 << 10
_SOCKET = "/run/nanodex-store.sock"
_CONFIG = f"""\
version = 2
root = "/{STORE}"
state = "/run/nanodex-store"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{_SOCKET}"
[ttrpc]
  address = "{_SOCKET}.ttrpc"
"""
# In a mount namespace of its own: nothing of it is left when containerd has ended.
_SERVE = (
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys"'
)
_WAIT_SECONDS = 60.0


def fill_image_store(root: Path, *, archives: Sequence[Path], tell: Callable[[str], None]) -> None:
    """Import archives into the image store below a root file system.

    Raises:
        BuildFailed: containerd did not start, or refused an archive.
    """
    shutil.rmtree(root / STORE, ignore_errors=True)
    config = root / "run/nanodex-store.toml"
    config.write_text(_CONFIG)
    log = root / "run/nanodex-store.log"
    serve = f'{_SERVE} && exec chroot "$0" containerd --config /{config.relative_to(root)}'
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", serve, root],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            _wait(root, server=server, log=log)
            for archive in archives:
                with archive.open("rb") as stream:
                    _ctr(root, "images", "import", "--snapshotter", "overlayfs", "-", stdin=stream)
            _drop_layers(root)
        finally:
            server.terminate()
    for left in root.glob("run/nanodex-store*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    size = sum(path.lstat().st_size for path in (root / STORE).rglob("*") if path.is_file())
    tell(f"image store of {size / 1e6:.0f} MB")


def _drop_layers(root: Path) -> None:
    blobs = root / STORE / "io.containerd.content.v1.content/blobs/sha256"
    layers = [blob for blob in blobs.iterdir() if blob.stat().st_size > MANIFEST_BYTES]
    for blob in layers:
        _ctr(root, "content", "rm", f"sha256:{blob.name}")
    # It deletes them later, and would be ended before.
    deadline = time.monotonic() + _WAIT_SECONDS
    while any(blob.exists() for blob in layers) and time.monotonic() < deadline:
        time.sleep(0.2)


def _ctr(root: Path, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> str:
    done = subprocess.run(
        ["chroot", root, "ctr", "--address", _SOCKET, "--namespace", "k8s.io", *arguments],
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"ctr {' '.join(arguments[:2])} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _wait(root: Path, *, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            _ctr(root, "version")
        except BuildFailed:
            time.sleep(0.2)
        else:
            return
    raise BuildFailed(f"the node's containerd did not start:\n{log.read_text()[-2000:]}")
