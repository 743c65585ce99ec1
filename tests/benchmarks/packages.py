"""Real packages to measure on: wheels fetched at bench time, unpacked, never built or imported."""

import subprocess
import sys
import zipfile
from pathlib import Path

# Pinned, so that figures of two days can be compared.
PACKAGES = {"requests": "2.32.5", "flask": "3.1.2", "sqlalchemy": "2.0.44", "django": "5.2.8"}


def unpacked(name: str, *, cache: Path) -> Path:
    """Return the folder of the package's Python files, fetching its wheel once.

    A wheel is a zip file: nothing of it runs, unlike a source distribution's build.
    """
    folder = cache / f"{name}-{PACKAGES[name]}"
    if folder.is_dir():
        return folder
    wheels = cache / "wheels"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
            "--disable-pip-version-check", "--only-binary", ":all:",
            "--dest", str(wheels), f"{name}=={PACKAGES[name]}",
        ],
        check=True,
    )  # fmt: skip
    wheel = next(path for path in wheels.glob("*.whl") if path.name.lower().startswith(f"{name}-"))
    partial = folder.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.endswith(".py")]
        archive.extractall(partial, members=members)
    partial.rename(folder)
    return folder
