"""What a machine lacks: Debian packages, installed where allowed and else named, and room."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path


class Lacks(Exception):
    """This machine lacks something; the message says what, and what to do."""


def want_room(said: str, *, failure: str) -> None:
    """Look whether it is for want of room on the disk that a program failed.

    Args:
        said: what it printed.
        failure: what that means, without an end.

    Raises:
        Lacks: it is.
    """
    # Go and C write it differently.
    if "no space left on device" in said.lower():
        raise Lacks(
            f"the disk is full: {failure}. `podman image prune` removes what earlier builds left; "
            "`go clean -cache -modcache` and the caches of pip and uv give room, too"
        )


def ensure(programs: Mapping[str, str], *, tell: Callable[[str], None]) -> None:
    """See to it that programs are there.

    Args:
        programs: The Debian package of each program; a program is a name in PATH or a path.
        tell: Is given a line when something is installed.

    Raises:
        Lacks: some are not, and this user or this system cannot install them.
    """
    missing = sorted({package for program, package in programs.items() if not found(program)})
    if not missing:
        return
    command = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if shutil.which("apt-get") is None:
        raise Lacks(f"install these programs: {', '.join(sorted(programs))} (Debian: {command})")
    if os.geteuid() != 0:
        raise Lacks(f"as root, run: {command}")
    tell(f"installing {', '.join(missing)}")
    for arguments in (
        ["update", "--quiet=2"],
        ["install", "--yes", "--quiet=2", "--no-install-recommends", *missing],
    ):
        done = subprocess.run(
            ["apt-get", *arguments],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Lacks(f"apt-get {arguments[0]} failed:\n{done.stdout[-2000:]}")


def found(program: str) -> bool:
    """Return whether there is such a program, also where only root looks for it."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return shutil.which(program, path=path) is not None or Path(program).exists()
