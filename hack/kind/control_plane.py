"""The images that a node's own Pods are made of, from the binaries that we have built.

They are those that kubeadm asks for, and the one that enforces NetworkPolicy.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from hack.images.catalog import REGISTRY
from hack.images.tool import BuildFailed
from hack.kind.archive import write_archive
from hack.kind.build import BINARIES, KUBERNETES

# hack/kind/node/kind/manifests/default-cni.yaml runs it.
POLICIES = f"{REGISTRY}/nanodex-kube-router:{BINARIES['kube-router'].version}"
# Where each image has its program. Those that set packet filters have more: `firewall_files`.
_PROGRAMS = {
    "kube-apiserver": "/usr/local/bin/kube-apiserver",
    "kube-controller-manager": "/usr/local/bin/kube-controller-manager",
    "kube-scheduler": "/usr/local/bin/kube-scheduler",
    "kube-proxy": "/usr/local/bin/kube-proxy",
    "etcd": "/usr/local/bin/etcd",
    "coredns": "/coredns",
    "pause": "/pause",
    "kube-router": "/usr/local/bin/kube-router",
}
_FIREWALLS = ("kube-proxy", "kube-router")
_MULTI = "/usr/sbin/xtables-nft-multi"
_IPSET = "/usr/sbin/ipset"
_TABLES = tuple(
    f"{family}{command}"
    for family in ("iptables", "ip6tables")
    for command in ("", "-save", "-restore")
)
_FOUND = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def control_plane_images(
    folder: Path,
    *,
    binaries: Mapping[str, Path],
    root: Path,
    tell: Callable[[str], None],
) -> list[Path]:
    """Write the archives of all images of a control plane and return their paths.

    Args:
        folder: Where to.
        binaries: What hack/kind/build.py has built.
        root: A Debian with iptables and ipset, which two of the images are given.
        tell: Is given a line of progress.

    Raises:
        BuildFailed: kubeadm asks for an image that this does not know.
    """
    folder.mkdir()
    firewall = firewall_files(root, folder=folder / "firewall")
    archives = []
    for reference in (*wanted_images(binaries["kubeadm"]), POLICIES):
        name = reference.rpartition(":")[0].rpartition("/")[2].removeprefix("nanodex-")
        if name not in _PROGRAMS:
            raise BuildFailed(f"kubeadm asks for {reference}, and nobody here knows how to make it")
        program = _PROGRAMS[name]
        files = {program: binaries[name]} | (firewall if name in _FIREWALLS else {})
        archive = folder / f"{name}.tar"
        write_archive(archive, reference=reference, files=files, entrypoint=[program])
        archives.append(archive)
        tell(f"image {reference}")
    return archives


def wanted_images(kubeadm: Path) -> list[str]:
    """Return the images that kubeadm will start, by name and tag."""
    said = subprocess.run(
        [kubeadm, "config", "images", "list", "--kubernetes-version", KUBERNETES],
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.split()


def firewall_files(root: Path, *, folder: Path) -> dict[str, Path]:
    """Return what sets packet filters: iptables, its extensions and ipset, with their libraries.

    The extensions have needs of their own (libxt_statistic.so: libm). Without them the cluster
    looks healthy, and a Service with two endpoints does not work.
    """
    extensions = sorted((root / "usr/lib").glob("*/xtables/*.so"))
    inside = [f"/{path.relative_to(root)}" for path in extensions]
    said = subprocess.run(
        ["chroot", root, "ldd", _MULTI, _IPSET, *inside],
        capture_output=True,
        text=True,
        check=True,
    )
    if "not found" in said.stdout:
        raise BuildFailed(f"iptables or ipset lacks a library:\n{said.stdout}")
    folder.mkdir()
    (folder / "empty").mkdir()
    files = {
        name: _resolved(root, name)
        for name in {_MULTI, _IPSET, *inside, *_FOUND.findall(said.stdout)}
    }
    for table in _TABLES:
        link = folder / table
        link.symlink_to("xtables-nft-multi")
        files[f"/usr/sbin/{table}"] = link
    # iptables locks /run/xtables.lock, and kube-proxy's Pod mounts some of these.
    return files | {name: folder / "empty" for name in ("/run", "/etc", "/tmp", "/lib/modules")}


def _resolved(root: Path, name: str) -> Path:
    """Return the file behind a path in another root: an absolute link in there is of that root."""
    path = root
    for part in Path(name).parts[1:]:
        path = path / part
        while path.is_symlink():
            target = path.readlink()
            path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    if not path.is_file():
        raise BuildFailed(f"{name} is not in {root}")
    return path
