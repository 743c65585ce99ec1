"""A node image made here, for where `kindest/node` cannot be pulled.

A Debian by debootstrap with systemd and containerd, the binaries that hack/kind/build.py makes, and
an image store that already holds the control plane's images: a node pulls nothing. Its name carries
a hash of all that it is made of, so a change makes a new one and an unchanged one is found.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hack.images.base import RELEASE, bootstrap
from hack.images.catalog import REGISTRY
from hack.images.tool import Tool, run_step
from hack.kind.build import KUBERNETES, built
from hack.kind.control_plane import control_plane_images
from hack.kind.image_store import fill_image_store

HERE = Path(__file__).resolve().parent
_PACKAGES = (
    "systemd", "systemd-sysv", "iptables", "ipset", "conntrack", "iproute2", "iputils-ping",
    "procps", "kmod", "containerd", "runc", "containernetworking-plugins",
)  # fmt: skip
_ON_THE_NODE = ("kubelet", "kubectl", "kubeadm")
_IN_IMAGES = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns",
    "pause", "kube-router",
)  # fmt: skip
_UNITS = ("containerd", "kubelet", "pod-network")
_SOCKETS = ("systemd-journald.socket", "systemd-journald-dev-log.socket")
# What a container has no use for.
_MASKED = (
    "systemd-binfmt", "systemd-udevd", "systemd-logind", "systemd-tmpfiles-setup",
    "systemd-remount-fs", "getty@tty1",
)  # fmt: skip
_WANTED_BY = ("sysinit", "local-fs", "basic", "sockets", "multi-user", "timers", "getty")
_CONTAINERFILE = """\
FROM scratch
ADD node.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=podman
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
"""


def node_image(tool: Tool, *, tell: Callable[[str], None]) -> str:
    """Return the name of our node image, and make it where it is not there.

    Raises:
        CannotBuild: Kubernetes could not be built.
        BuildFailed: a step failed.
    """
    binaries = built(
        [*_ON_THE_NODE, *_IN_IMAGES],
        tell=tell,
    )
    reference = f"{REGISTRY}/nanodex-node:{KUBERNETES}-{_fingerprint(binaries)}"
    if tool.has(reference):
        return reference
    tell("making a node image")
    with TemporaryDirectory(prefix="nanodex-node-", dir="/var/tmp") as name:
        context = Path(name)
        root = context / "root"
        bootstrap(root, packages=_PACKAGES)
        images = control_plane_images(context / "images", binaries=binaries, root=root, tell=tell)
        fill_image_store(root, archives=images, tell=tell)
        furnish(root, binaries=binaries)
        tar = ["tar", "--create", f"--file={context / 'node.tar'}", f"--directory={root}"]
        run_step([*tar, "--one-file-system", "."])
        shutil.rmtree(root)
        (context / "Containerfile").write_text(_CONTAINERFILE)
        # One name in use and none of the versions before it.
        run_step(
            [tool.name, "build", "--tag", reference, str(context)], environment=tool.environment()
        )
    return reference


def _fingerprint(binaries: dict[str, Path]) -> str:
    digest = hashlib.sha256(f"{RELEASE} {_PACKAGES} {_CONTAINERFILE}".encode())
    for path in sorted((HERE / "node").rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    for module in ("archive.py", "control_plane.py", "image_store.py", "node_image.py"):
        digest.update((HERE / module).read_bytes())
    for name, path in sorted(binaries.items()):
        # The folder of a binary is named after what it is made of.
        digest.update(f"{name} {path.parent.name}\n".encode())
    return digest.hexdigest()[:10]


def furnish(root: Path, *, binaries: dict[str, Path]) -> None:
    """Make a Debian with a filled image store into a node."""
    shutil.copytree(HERE / "node", root, dirs_exist_ok=True, copy_function=shutil.copy)
    for name in _ON_THE_NODE:
        shutil.copy(binaries[name], root / "usr/bin" / name)
    for name in ("opt/cni", "etc/kubernetes/manifests", "kind", "var/lib/kubelet"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    (root / "kind/version").write_text(f"{KUBERNETES}\n")
    system = root / "etc/systemd/system"
    for target in _WANTED_BY:
        for folder in (system, root / "lib/systemd/system"):
            shutil.rmtree(folder / f"{target}.target.wants", ignore_errors=True)
    for target, units in (
        ("multi-user", [f"{unit}.service" for unit in _UNITS]),
        ("sockets", list(_SOCKETS)),
    ):
        wants = system / f"{target}.target.wants"
        wants.mkdir(parents=True)
        for unit in units:
            own = (system / unit).exists()
            (wants / unit).symlink_to(f"../{unit}" if own else f"/lib/systemd/system/{unit}")
    for unit in _MASKED:
        (system / f"{unit}.service").unlink(missing_ok=True)
        (system / f"{unit}.service").symlink_to("/dev/null")
    (system / "default.target").unlink(missing_ok=True)
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for name in ("var/lib/apt/lists", "var/cache/apt", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("etc/hostname", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")
