"""Copies Python, some programs and what they need out of this system into a root of their own.

The build stage of an image runs this on whatever Debian its base is. The image then starts from
nothing and holds what was copied: no shell where none is named, no package manager, no compiler, no
pip, no file with the setuid bit. Each Debian package that a file came from stays known by its
licence and by an entry where scanners look for it (/var/lib/dpkg/status.d).

    python3 rootfs.py /rootfs --needs-of /opt/nanodex --program sh --program git
"""

import argparse
import functools
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

USER = 65532
# Folders that hold Python packages, nearest to the code first; an image has some of them.
PACKAGES = tuple(f"/opt/{part}/site-packages" for part in ("app", "nanodex", "torch"))
# The standard library without its tests, windows and terminals, and what installs software.
_LEFT_OUT = re.compile(
    r"__pycache__|config|config-.*|dist-packages|site-packages|sitecustomize\.py|ensurepip|idlelib"
    r"|lib2to3|pydoc_data|test|tkinter|turtledemo"
    r"|(_tkinter|_test.*|_xxtest.*|_ctypes_test|_curses.*|_dbm|_gdbm|nis|ossaudiodev|readline)\..*\.so"
)
# Needed while a program runs and named by none: how a thread ends, how TLS is set up, UTF-8.
_UNSEEN = (
    "/lib/*/libgcc_s.so.1", "/usr/lib/ssl/openssl.cnf", "/usr/lib/locale/C.utf8", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/os-release", "/etc/debian_version", "/etc/protocols",
    "/etc/services",
)  # fmt: skip
_FOUND = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
_MISSING = re.compile(r"^\t(\S+) => not found", re.MULTILINE)


class Root:
    """A root file system that grows by what is added to it, each file at its own path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Paths in this system, without links on the way to them.
        self.copied: set[Path] = set()

    def lay_out(self) -> None:
        """Make the folders and files that every system has."""
        for name in ("etc", "usr", "proc", "sys", "dev", "run", "var"):
            (self.folder / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if (link := Path("/") / name).is_symlink():
                (self.folder / name).symlink_to(link.readlink())
                (self.folder / link.readlink()).mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "var/tmp"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o1777)
        (self.folder / "cache").mkdir()
        os.chown(self.folder / "cache", USER, USER)
        self.write("etc/passwd", f"root:x:0:0::/:/bin/sh\nnanodex:x:{USER}:{USER}::/tmp:/bin/sh\n")
        self.write("etc/group", f"root:x:0:\nnanodex:x:{USER}:\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")

    def add(self, path: Path) -> None:
        """Add a file or a folder, and what it is a link to."""
        path = _without_links(path.parent) / path.name
        if path in self.copied or not os.path.lexists(path):
            return
        target = self.folder / path.relative_to("/")
        if path.is_symlink():
            self.copied.add(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.readlink())
            self.add(path.parent / path.readlink())
        elif path.is_dir():
            for entry in sorted(path.iterdir()):
                if not _LEFT_OUT.fullmatch(entry.name):
                    self.add(entry)
        elif path.is_file():
            self.copied.add(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            target.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)

    def add_needs_of_programs(self) -> None:
        """Add the shared libraries of all that was added.

        Raises:
            SystemExit: one is missing.
        """
        for file in sorted(self.copied):
            if _is_binary(file):
                needed, missing = _needs(file)
                if missing:
                    sys.exit(f"{file} needs {', '.join(missing)}")
                self._add_all(needed)

    def add_needs_of_packages(self, folder: Path) -> None:
        """Add what the libraries below a folder need and the folder lacks.

        What is missing is not counted: wheels name the drivers of GPUs that most machines lack.
        """
        for file in sorted(folder.rglob("*")):
            if _is_binary(file):
                needed, _ = _needs(file)
                self._add_all(path for path in needed if not path.is_relative_to("/opt"))

    def record_debian_packages(self) -> None:
        """Keep licence and entry of every Debian package that a copied file is of."""
        for listing in sorted(Path("/var/lib/dpkg/info").glob("*.list")):
            owned = (Path(line) for line in listing.read_text().splitlines())
            if any(_without_links(path.parent) / path.name in self.copied for path in owned):
                entry = subprocess.run(
                    ["dpkg-query", "--status", listing.stem],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                name = listing.stem.split(":")[0]
                self.write(f"var/lib/dpkg/status.d/{name}", entry.stdout)
                # A package that shares its copyright with another has a link here.
                text = (Path("/usr/share/doc") / name / "copyright").read_text(errors="replace")
                self.write(f"usr/share/doc/{name}/copyright", text)

    def write(self, name: str, text: str) -> None:
        """Write a file that this system has not, or otherwise."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def _add_all(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.add(path)


@functools.cache
def _without_links(folder: Path) -> Path:
    return folder.resolve()


def _is_binary(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _needs(file: Path) -> tuple[list[Path], list[str]]:
    """Return the shared libraries that a file is loaded with, and the names of those missing."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    return [Path(name) for name in _FOUND.findall(said)], _MISSING.findall(said)


def named(program: str) -> Path:
    """Return the path of a program.

    Raises:
        argparse.ArgumentTypeError: there is none.
    """
    path = shutil.which(program)
    if path is None:
        raise argparse.ArgumentTypeError(f"this base has no {program}")
    return Path(path)


def main() -> None:
    """Make the root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder to make")
    parser.add_argument("--needs-of", type=Path, action="append", default=[], help="of wheels")
    parser.add_argument("--program", type=named, action="append", default=[], help="to add")
    arguments = parser.parse_args()

    root = Root(arguments.root)
    root.lay_out()
    library = Path(sysconfig.get_path("stdlib"))
    for path in (Path(sys.executable), library, *arguments.program):
        root.add(path)
    for pattern in _UNSEEN:
        for path in sorted(Path("/").glob(pattern[1:])):
            root.add(path)
    root.add_needs_of_programs()
    for folder in arguments.needs_of:
        root.add_needs_of_packages(folder)
    root.record_debian_packages()
    # addsitedir, because a package may come with a .pth file of its own.
    lines = [f"import site; site.addsitedir({folder!r})" for folder in PACKAGES]
    purelib = sysconfig.get_path("purelib").lstrip("/")
    root.write(f"{purelib}/nanodex.pth", "\n".join(lines) + "\n")
    python = root.folder / "usr/local/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.symlink_to(sys.executable)
    subprocess.run(["ldconfig", "-r", root.folder], check=True)
    compiler = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash"]
    subprocess.run(
        [*compiler, "-s", root.folder, "-p", "/", f"{root.folder}{library}"],
        check=True,
    )


if __name__ == "__main__":
    main()
