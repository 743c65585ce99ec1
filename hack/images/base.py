"""The base that the build stages start from: the public Python image, or a Debian made here.

Where no registry can be reached, debootstrap makes the same thing from Debian's packages. It is the
base of build stages only: what an image holds of it is chosen by images/rootfs.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hack.debian import Lacks, ensure
from hack.images.catalog import PUBLIC_BASE, REGISTRY
from hack.images.tool import Tool, run_step

RELEASE = "bookworm"
DEBIAN = f"{REGISTRY}/nanodex-debian:{RELEASE}"
_PACKAGES = ("ca-certificates", "python3", "python3-pip")
_CONTAINERFILE = """\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""


def find_base(tool: Tool, *, tell: Callable[[str], None]) -> str:
    """Return the name of a base that is there.

    Raises:
        Lacks: no registry answers, and this machine cannot make one.
        BuildFailed: it can, and failed.
    """
    if tool.has(PUBLIC_BASE):
        return PUBLIC_BASE
    if tool.has(DEBIAN):
        return DEBIAN
    if tool.output(tool.pull(PUBLIC_BASE)) is not None:
        return PUBLIC_BASE
    tell(f"{PUBLIC_BASE} cannot be pulled; making a base from Debian's packages")
    make_debian(tool, tell=tell)
    return DEBIAN


def make_debian(tool: Tool, *, tell: Callable[[str], None]) -> None:
    """Make a Debian with Python and pip.

    Raises:
        Lacks: that needs root, and debootstrap.
        BuildFailed: a step failed.
    """
    if os.geteuid() != 0:
        raise Lacks(
            "without a registry a base is made by debootstrap, which needs root; or name a base of "
            f"your own: BASE=... make images (the default is {PUBLIC_BASE})"
        )
    ensure({"debootstrap": "debootstrap"}, tell=tell)
    with TemporaryDirectory(prefix="nanodex-debian-", dir="/var/tmp") as name:
        context = Path(name)
        root = context / "root"
        bootstrap(root, packages=_PACKAGES)
        tar = ["tar", "--create", f"--file={context / 'base.tar'}", f"--directory={root}"]
        run_step([*tar, "."])
        shutil.rmtree(root)
        (context / "Containerfile").write_text(_CONTAINERFILE)
        run_step(
            [tool.name, "build", "--tag", DEBIAN, str(context)], environment=tool.environment()
        )


def bootstrap(root: Path, *, packages: tuple[str, ...]) -> None:
    """Make a Debian's root file system, with the security updates of the day.

    Raises:
        BuildFailed: a step failed.
    """
    include = f"--include={','.join(packages)}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    debootstrap = ["debootstrap", "--variant=minbase", include, RELEASE, str(root)]
    run_step(debootstrap, environment=environment)
    sources = root / "etc/apt/sources.list"
    sources.write_text(with_updates(sources.read_text(encoding="utf-8")), encoding="utf-8")
    inside = ["chroot", str(root), "apt-get", "--quiet=2"]
    run_step([*inside, "update"], environment=environment)
    run_step([*inside, "--yes", "upgrade"], environment=environment)
    run_step([*inside, "clean"], environment=environment)
    for left in (root / "var/lib/apt/lists").glob("*debian*"):
        left.unlink()


def with_updates(sources: str) -> str:
    """Add the updates and the security updates to the one source that debootstrap wrote."""
    kind, mirror, release, *components = sources.split()
    lines = [
        (kind, mirror, release),
        (kind, mirror, f"{release}-updates"),
        (kind, f"{mirror.rstrip('/')}-security", f"{release}-security"),
    ]
    return "\n".join(" ".join([*line, *components]) for line in lines) + "\n"
