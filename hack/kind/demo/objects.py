"""What the demo is made of beside its world: names, the files of this folder, and keys."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from hack.kind.world.manifests import (
    Keys,
    Object,
    actions_of_readers,
    actions_of_team,
    secret,
)

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
# As values.yaml has it.
PREFIX = "demo"


def model_server() -> Object:
    """Return the ModelServer."""
    return _read("modelserver")


def code_expert() -> Object:
    """Return the CodeExpert."""
    return _read("codeexpert")


def store_keys(teams: Iterable[str], *, prefixes: Iterable[str] = (PREFIX,)) -> dict[str, Keys]:
    """Return new keys of the store, by the namespace that holds them.

    Its own may do everything, the operator's and the engines' only read, and each team's work on
    the artifacts of its namespace alone.
    """
    actions = {WORLD: ("Admin",), SYSTEM: actions_of_readers()}
    actions |= {team: actions_of_team(team, prefixes=prefixes) for team in teams}
    return {
        name: Keys(
            name=name,
            access_key=f"{name}-key",
            secret_key=secrets.token_urlsafe(24),
            actions=allowed,
        )
        for name, allowed in actions.items()
    }


def keys_of_clients(key: str) -> list[Object]:
    """Return the Secrets by which the clients' namespace may ask the experts of the team."""
    return [
        secret(KEYS_SECRET, namespace=SYSTEM, values={"demo": f"{key} {TEAM}/* base"}),
        secret(KEY_SECRET, namespace=CLIENTS, values={"NANODEX_API_KEY": key}),
    ]


def _read(name: str) -> Object:
    found: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return found
