"""Installs pinned packages into a folder of an image, and compiles them.

    python3 install.py /opt/nanodex --requirements trainer.txt --without torch.txt
    python3 install.py /opt/app --project .

Packages end up in a folder site-packages of it, commands of a project in bin.

Nothing is resolved and nothing of the packages is built here: each line is an exact version, and
must be there as a wheel. How the package index is reached is pip's own configuration, which a build
gets as a secret (hack/images/machine.py) and an image never holds.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Python libraries take what lies in a folder of this name for installed, and everything else for a
# program's own: dill then pickles whole modules of it.
PACKAGES = "site-packages"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def chosen(requirements: str, *, without: str) -> list[str]:
    """Return the lines of `requirements` whose package `without` does not name."""
    left_out = {name for line in without.splitlines() if (name := _package(line))}
    return [
        line
        for line in requirements.splitlines()
        if (name := _package(line)) and name not in left_out
    ]


def _package(line: str) -> str:
    found = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def main() -> None:
    """Install."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="folder to make")
    parser.add_argument("--requirements", type=Path, help="file of exact versions")
    parser.add_argument("--without", type=Path, help="file of what another folder holds")
    parser.add_argument("--project", type=Path, help="folder of a project to install")
    arguments = parser.parse_args()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--no-cache-dir"]
    pip += ["--disable-pip-version-check", "--root-user-action=ignore", "--quiet"]
    packages = arguments.target / PACKAGES
    pip += ["--target", str(packages)]
    if arguments.project:
        subprocess.run([*pip, str(arguments.project)], check=True)
        (packages / "bin").rename(arguments.target / "bin")
    if arguments.requirements:
        without = arguments.without.read_text() if arguments.without else ""
        lines = chosen(arguments.requirements.read_text(), without=without)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            subprocess.run([*pip, "--only-binary=:all:", "--requirement", file.name], check=True)
        # Commands of packages that are there to be imported.
        shutil.rmtree(packages / "bin", ignore_errors=True)
    # The result is read-only: loading it compares nothing with the sources' times.
    compiler = [sys.executable, "-m", "compileall", "-q", "-j0"]
    subprocess.run(
        [*compiler, "--invalidation-mode=unchecked-hash", str(arguments.target)],
        # Some packages hold templates, or code for other versions of Python: those stay so.
        check=False,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
