"""What a build must know of this machine and an image must not: package index and authorities.

pip's own configuration of this machine is handed to the build as a secret file, with the
certificate authorities beside it. Nothing of it is an argument, an environment variable or a layer.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from pip._internal.models.index import PyPI

# Where a build finds the authorities; the Containerfiles mount the secret there.
MOUNTED_AUTHORITIES = "/run/secrets/ca.pem"
_KEPT = ("index-url", "extra-index-url", "no-index", "trusted-host", "proxy", "timeout", "retries")
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def parse_pip_config(text: str) -> dict[str, str]:
    """Return the settings that `pip config list` prints, the environment's before the files'."""
    settings: dict[str, str] = {}
    lines = [line.partition("=") for line in text.splitlines()]
    for name, _, value in sorted(lines, key=lambda line: line[0].startswith(":env:")):
        key = name.strip().rpartition(".")[2]
        settings[key] = str(ast.literal_eval(value))
    return settings


def pip_config(settings: Mapping[str, str], *, authorities: bool) -> str:
    """Return the pip.conf of a build.

    A folder of wheels is left out: the build does not see it.
    """
    lines = ["[global]"]
    for key in _KEPT:
        if values := settings.get(key, "").split():
            lines += [f"{key} ="] + [f"    {value}" for value in values]
    links = [link for link in settings.get("find-links", "").split() if "://" in link]
    if links:
        lines += ["find-links ="] + [f"    {link}" for link in links]
    if authorities:
        lines.append(f"cert = {MOUNTED_AUTHORITIES}")
    return "\n".join(lines) + "\n"


def authorities(settings: Mapping[str, str], *, environment: Mapping[str, str]) -> Path | None:
    """Return the file of certificate authorities that this machine says to use."""
    named = [settings.get("cert"), *(environment.get(name) for name in _AUTHORITIES)]
    for name in named:
        if name and Path(name).is_file():
            return Path(name)
    return None


def settings_of_pip() -> dict[str, str]:
    """Return pip's settings on this machine."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return parse_pip_config(said.stdout)


@contextmanager
def build_secrets() -> Iterator[dict[str, Path]]:
    """Write the secrets of a build into a folder that only we can read, and remove it later."""
    settings = settings_of_pip()
    with TemporaryDirectory(prefix="nanodex-build-") as name:
        folder = Path(name)
        trusted = authorities(settings, environment=os.environ)
        secrets = {"pip.conf": folder / "pip.conf"}
        secrets["pip.conf"].write_text(pip_config(settings, authorities=trusted is not None))
        if trusted:
            secrets["ca.pem"] = folder / "ca.pem"
            secrets["ca.pem"].write_bytes(trusted.read_bytes())
        yield secrets


def private_values(settings: Mapping[str, str]) -> set[bytes]:
    """Return what must not be found in an image: hosts and credentials of a private index.

    The public index is no secret: the packages themselves name it.
    """
    found = set()
    for key in ("index-url", "extra-index-url", "find-links", "proxy", "trusted-host"):
        for value in settings.get(key, "").split():
            parts = urlsplit(value if "://" in value else f"//{value}")
            found |= {part for part in (parts.hostname, parts.password) if part}
    return {value.encode() for value in found - {PyPI.netloc, PyPI.file_storage_domain}}
