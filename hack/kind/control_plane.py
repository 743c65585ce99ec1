"""The images that kubeadm asks for, made of the binaries that we have built."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from hack.images.tool import BuildFailed
from hack.kind.archive import write_archive
from hack.kind.build import KUBERNETES

# Where each image has its program. kube-proxy has more than that: see `proxy_files`.
_PROGRAMS = {
    "kube-apiserver": "/usr/local/bin/kube-apiserver",
    "kube-controller-manager": "/usr/local/bin/kube-controller-manager",
    "kube-scheduler": "/usr/local/bin/kube-scheduler",
    "kube-proxy": "/usr/local/bin/kube-proxy",
    "etcd": "/usr/local/bin/etcd",
    "coredns": "/coredns",
    "pause": "/pause",
}
_MULTI = "/usr/sbin/xtables-nft-multi"
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
        root: A Debian with iptables, which kube-proxy's image is given.
        tell: Is given a line of progress.

    Raises:
        BuildFailed: kubeadm asks for an image that this does not know.
    """
    folder.mkdir()
    archives = []
    for reference in wanted_images(binaries["kubeadm"]):
        name = reference.rpartition(":")[0].rpartition("/")[2]
        if name not in _PROGRAMS:
            raise BuildFailed(f"kubeadm asks for {reference}, and nobody here knows how to make it")
        program = _PROGRAMS[name]
        files = {program: binaries[name]}
        if name == "kube-proxy":
            files |= proxy_files(root, folder=folder / "proxy")
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


def proxy_files(root: Path, *, folder: Path) -> dict[str, Path]:
    """Return what kube-proxy needs of a Debian: iptables, its extensions, and their libraries.

    The extensions have needs of their own (libxt_statistic.so: libm). Without them the cluster
    looks healthy, and a Service with two endpoints does not work.
    """
    extensions = sorted((root / "usr/lib").glob("*/xtables/*.so"))
    inside = [f"/{path.relative_to(root)}" for path in extensions]
    said = subprocess.run(
        ["chroot", root, "ldd", _MULTI, *inside], capture_output=True, text=True, check=True
    )
    if "not found" in said.stdout:
        raise BuildFailed(f"iptables lacks a library:\n{said.stdout}")
    folder.mkdir()
    (folder / "empty").mkdir()
    files = {
        name: _resolved(root, name) for name in {_MULTI, *inside, *_FOUND.findall(said.stdout)}
    }
    for table in _TABLES:
        link = folder / table
        link.symlink_to("xtables-nft-multi")
        files[f"/usr/sbin/{table}"] = link
    # kube-proxy locks /run/xtables.lock, and its Pod mounts some of these.
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
