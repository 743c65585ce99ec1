"""Which container engine the nodes run in, and from which node image.

docker where its engine answers, else podman. `kindest/node` where it can be pulled, else an image
made here. Everything that differs between them is a field of `Provider`.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hack.debian import ensure
from hack.images.tool import Name, Tool, needs_of_podman
from hack.kind.build import KUBERNETES
from hack.kind.node_image import node_image

CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
PUBLIC_NODE = f"docker.io/kindest/node:{KUBERNETES}"
_MADE_WITH = {
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "tar": "tar",
}


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An engine and a node image."""

    tool: Tool
    environment: Mapping[str, str]
    image: str = ""
    # Whether the image is ours: kind.yaml is for those alone.
    own: bool = False


def engine(environment: Mapping[str, str], *, docker: bool) -> Name:
    """Return the engine to use: the one that the user names, else docker where it answers.

    Args:
        environment: Where `KIND_EXPERIMENTAL_PROVIDER` may stand, kind's own variable.
        docker: Whether docker's engine answers.
    """
    engines: tuple[Name, Name] = ("docker", "podman")
    for name in engines:
        if environment.get(CHOICE) == name:
            return name
    return "docker" if docker else "podman"


def find_provider(*, tell: Callable[[str], None]) -> Provider:
    """Return what nodes are made with on this machine, and install or make what is missing.

    Raises:
        Lacks: something is missing that cannot be installed or made here.
        CannotBuild, BuildFailed: the node image could not be made.
    """
    known = known_provider()
    tool = known.tool
    if tool.name == "podman":
        ensure(needs_of_podman(), tell=tell)
    if tool.has(PUBLIC_NODE) or tool.output(tool.pull(PUBLIC_NODE)) is not None:
        return replace(known, image=PUBLIC_NODE)
    tell(f"{PUBLIC_NODE} cannot be pulled")
    ensure(_MADE_WITH, tell=tell)
    # kind mounts it into each node.
    Path("/lib/modules").mkdir(exist_ok=True)
    return replace(known, image=node_image(tool, tell=tell), own=True)


def known_provider() -> Provider:
    """Return the engine of this machine, for a cluster that is there: its image does not matter."""
    docker = bool(shutil.which("docker")) and Tool("docker").output(["docker", "version"])
    name = engine(os.environ, docker=bool(docker))
    tool = Tool(name)
    return Provider(tool=tool, environment={**tool.environment(), CHOICE: name})
