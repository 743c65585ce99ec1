"""What the demo is made of beside its world: names, the files of this folder, and keys."""

from pathlib import Path
from typing import Any

import yaml

from hack.kind.world.manifests import Object, secret

HERE = Path(__file__).resolve().parent
VALUES = HERE / "values.yaml"
SYSTEM = "nanodex-system"
WORLD = "nanodex-world"
TEAM = "team-a"
# Whoever asks is somewhere else.
CLIENTS = "clients"
STORE_SECRET = "nanodex-s3"
GIT_SECRET = "parcelry-git"
KEY_SECRET = "nanodex-key"
KEYS_SECRET = "nanodex-api-keys"


def model_server() -> Object:
    """Return the ModelServer."""
    return _read("modelserver")


def code_expert() -> Object:
    """Return the CodeExpert."""
    return _read("codeexpert")


def keys_of_clients(key: str) -> list[Object]:
    """Return the Secrets by which the clients' namespace may ask the experts of the team."""
    return [
        secret(KEYS_SECRET, namespace=SYSTEM, values={"demo": f"{key} {TEAM}/* base"}),
        secret(KEY_SECRET, namespace=CLIENTS, values={"NANODEX_API_KEY": key}),
    ]


def _read(name: str) -> Object:
    found: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return found
