"""docker, podman or buildah: which one builds here, and how each is told to.

They read the same Containerfiles. Commands are values, so a test reads what would be run.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hack.debian import Lacks, want_room

CHOICE = "NANODEX_IMAGE_TOOL"
CONTAINERS_CONF = Path(__file__).resolve().parents[1] / "kind" / "containers.conf"
# Programs that CONTAINERS_CONF makes podman start, and the packages that they come with.
_NAMED_BY_SETTINGS = {
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    # Containers find each other by name.
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
}
# The bit of CapEff in /proc/self/status.
_SYS_RESOURCE = 24
Name = Literal["docker", "podman", "buildah"]
NAMES: tuple[Name, ...] = ("docker", "podman", "buildah")


class BuildFailed(Exception):
    """An image could not be built; the message ends with what the tool said last."""


def run_step(
    command: list[str], *, failure: str = "", environment: Mapping[str, str] = os.environ
) -> None:
    """Run one step of a build to its end.

    Args:
        command: what to run.
        failure: what it means when it fails; that it failed when empty.
        environment: of the command.

    Raises:
        Lacks: there is no room on the disk.
        BuildFailed: it failed.
    """
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        what = failure or f"{' '.join(command[:3])} failed"
        want_room(done.stdout, failure=what)
        raise BuildFailed(f"{what}:\n{done.stdout[-4000:]}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one build is given."""

    reference: str
    containerfile: Path
    context: Path
    arguments: Mapping[str, str]
    # Files that only the build sees.
    secrets: Mapping[str, Path]


@dataclass(frozen=True)
class Tool:
    """One of the three."""

    name: Name

    def build(self, recipe: Recipe) -> list[str]:
        """Return the command that builds an image."""
        command = [self.name, "build", "--file", str(recipe.containerfile)]
        if self.name != "docker":
            # chroot: it needs no rights that a container on a build machine lacks.
            command += ["--isolation", "chroot", "--layers", "--format", "oci"]
        command += ["--tag", recipe.reference]
        for key, value in recipe.arguments.items():
            command += ["--build-arg", f"{key}={value}"]
        for key, path in recipe.secrets.items():
            command += ["--secret", f"id={key},src={path}"]
        return [*command, str(recipe.context)]

    def make(self, recipe: Recipe) -> None:
        """Build an image.

        Raises:
            BuildFailed: it could not be built.
        """
        run_step(
            self.build(recipe),
            failure=f"{recipe.reference} could not be built",
            environment=self.environment(),
        )

    def pull(self, reference: str) -> list[str]:
        """Return the command that fetches an image."""
        return [self.name, "pull", "--quiet", reference]

    def remove(self, reference: str) -> list[str]:
        """Return the command that removes an image, and the layers that no other has."""
        return [self.name, "rmi", "--force", reference]

    def inspect(self, reference: str) -> list[str]:
        """Return the command that prints an image's configuration and history."""
        kind = ["--type", "image"] if self.name == "buildah" else []
        return [self.name, *([] if kind else ["image"]), "inspect", *kind, reference]

    def has(self, reference: str) -> bool:
        """Return whether the image is there."""
        return self.output(self.inspect(reference)) is not None

    def configuration(self, reference: str) -> object:
        """Return what the tool knows of an image: configuration, labels, history.

        Raises:
            Lacks: there is no such image.
        """
        said = self.output(self.inspect(reference))
        if said is None:
            raise Lacks(f"there is no image {reference}: run `make images`")
        return json.loads(said)

    def output(self, command: list[str]) -> str | None:
        """Return what a command prints, None where it fails."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )
        return done.stdout if done.returncode == 0 else None

    def run(self, reference: str, *command: str) -> list[str]:
        """Return the command that runs one in a container, under what a restricted Pod is under.

        buildah has no such restrictions; there it is the files that are checked.
        """
        if self.name == "buildah":
            raise Lacks("running an image needs podman or docker: apt-get install podman")
        return [
            self.name, "run", "--rm", "--read-only", "--network=none", "--cap-drop=all",
            "--security-opt=no-new-privileges", "--tmpfs=/tmp", "--tmpfs=/cache:mode=1777",
            f"--entrypoint={command[0]}", reference, *command[1:],
        ]  # fmt: skip

    @contextmanager
    def exported(self, reference: str) -> Iterator[IO[bytes]]:
        """Open a tar stream of all files of an image.

        Raises:
            Lacks: there is no such image.
        """
        if self.name == "buildah":
            container = self._made(["buildah", "from", "--pull-never", reference])
            folder = self._made(["buildah", "mount", container])
            export, remove = ["tar", "--create", f"--directory={folder}", "."], ["buildah", "rm"]
        else:
            # Nothing is run: the command may be anything.
            container = self._made([self.name, "create", reference, "nothing"])
            export, remove = [self.name, "export", container], [self.name, "rm"]
        try:
            with subprocess.Popen(export, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                yield process.stdout
        finally:
            self.output([*remove, container])

    def _made(self, command: list[str]) -> str:
        said = self.output(command)
        if said is None:
            raise Lacks(f"`{' '.join(command)}` failed; `make images` builds the images")
        return said.strip()

    def environment(self) -> dict[str, str]:
        """Return the environment of every command."""
        own = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        if self.name != "docker" and needs_own_settings():
            own["CONTAINERS_CONF"] = str(CONTAINERS_CONF)
        return own | os.environ


def find(environment: Mapping[str, str] = os.environ) -> Tool:
    """Return the tool of this machine: the one that the user names, else the first that answers.

    Raises:
        Lacks: there is none.
    """
    wanted = environment.get(CHOICE)
    for name in NAMES:
        if wanted in (None, "", name) and shutil.which(name):
            tool = Tool(name)
            # A docker without its engine is only a client.
            if tool.output([name, "version" if name == "docker" else "--version"]) is not None:
                return tool
    if wanted:
        raise Lacks(f"{CHOICE} names {wanted!r}, which does not answer here")
    raise Lacks("none of docker, podman and buildah answers: apt-get install podman")


def needs_of_podman() -> dict[str, str]:
    """Return the Debian package of each program that podman needs on this machine."""
    return {"podman": "podman"} | (_NAMED_BY_SETTINGS if needs_own_settings() else {})


def needs_own_settings(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> bool:
    """Return whether podman's defaults fail on this machine: see hack/kind/containers.conf."""
    if not (cgroup / "cgroup.controllers").exists():
        return True
    for line in (proc / "self" / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) & 1 << _SYS_RESOURCE
    return False
