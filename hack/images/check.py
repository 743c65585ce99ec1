"""What must be true of an image before anybody runs it; each finding is a sentence."""

from collections.abc import Iterable, Sequence
from typing import Any

from hack.images.catalog import Image
from hack.images.contents import Contents, Package

USER = "65532:65532"
_LABELS = ("title", "description", "licenses", "version", "revision")
# What builds or installs software, or fetches it; and interpreters that nobody asked for.
_UNWANTED = frozenset(
    """apt apt-get aptitude as c++ c89 c99 cc clang cmake cpp curl dpkg dpkg-deb easy_install g++
    gcc git-shell go gold ld ld.bfd ld.gold make meson nm node npm objcopy objdump perl pip pip3
    ranlib
    ruby rustc cargo strip su sudo wget""".split()
)
_SHELLS = frozenset({"sh", "bash", "dash", "busybox", "zsh", "ksh"})


def findings(image: Image, *, contents: Contents, configuration: Any) -> list[str]:
    """Return what is wrong with an image.

    Args:
        image: What it should be.
        contents: Its files.
        configuration: The `config` of the image: User, Env, Labels.
    """
    found = []
    size = contents.bytes / 1e6
    if size > image.budget:
        found.append(f"its files take {size:.0f} MB, the budget is {image.budget} MB")
    if (user := configuration.get("User")) != USER:
        found.append(f"it runs as {user or 'root'}, not as {USER}")
    labels = configuration.get("Labels") or {}
    if image.name != "torch":
        for label in _LABELS:
            if not labels.get(f"org.opencontainers.image.{label}"):
                found.append(f"it has no label org.opencontainers.image.{label}")
    found += _listed("has the setuid or setgid bit", contents.raised)
    found += _listed("can be changed by others than root", contents.writable)
    found += _listed("is a build tool or installs software", contents.programs & _UNWANTED)
    if not image.shell:
        found += _listed("is a shell", contents.programs & _SHELLS)
    found += _listed("tells about the machine that built the image", contents.traces)
    if contents.compiled < contents.sources:
        share = contents.compiled / contents.sources
        # Templates and code for other versions of Python do not compile.
        if share < 0.97:
            found.append(f"only {share:.0%} of its Python files are compiled")
    unlicensed = [package.name for package in contents.packages if not package.licences]
    found += _listed("names no licence", unlicensed)
    return found


def _listed(what: str, names: Iterable[str]) -> list[str]:
    return [f"{name} {what}" for name in sorted(names)]


def licence_table(packages: Sequence[Package]) -> str:
    """Return one line a package: kind, name, version, licences."""
    return "".join(
        f"{package.kind}\t{package.name}\t{package.version}\t{', '.join(package.licences)}\n"
        for package in packages
    )


def import_program(image: Image) -> str:
    """Return a Python program that fails unless the image has what it needs and lacks the rest."""
    return (
        "import importlib, importlib.util, subprocess, sys\n"
        f"for name in {image.imports!r}: importlib.import_module(name)\n"
        f"there = [name for name in {image.lacks!r} if importlib.util.find_spec(name)]\n"
        "assert not there, there\n"
        f"for name in {image.programs!r}: subprocess.run([name, '--version'], check=True)\n"
        f"{image.tries}\n"
        "import os; assert os.getuid() == 65532, os.getuid()\n"
        "print(sys.version.split()[0])\n"
    )
