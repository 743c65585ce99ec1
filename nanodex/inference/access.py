"""Who may ask which model: API keys from a mounted Secret, or everybody on one machine.

Each entry of the Secret is a client, named by the entry. Each of its lines is a key and the models
that it may ask, separated by spaces:

    kubectl create secret generic nanodex-api-keys --from-literal=team-a='KEY team-a/* base'

`team-a/*` is every expert of a namespace, `*` is every model. A key may be written as
`sha256:<hexadecimal>`, so that the Secret does not hold it. Two lines are two keys of one client:
that is how a key is replaced without a gap.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

_MIN_KEY_LENGTH = 16
_MAX_KEY_LENGTH = 512
_MAX_FILE_BYTES = 64 << 10
_MAX_KEYS = 4096
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")
_PATTERN = re.compile(r"\*|base|[a-z0-9][-a-z0-9]{0,62}/(\*|[a-z0-9][-a-z0-9]{0,39})")


@dataclass(frozen=True)
class Client:
    """Somebody who may ask.

    Attributes:
        name: for the audit line and the limits; the same for all keys of a client.
        patterns: models that may be asked; None: all.
    """

    name: str
    patterns: tuple[str, ...] | None = None

    def may_ask(self, model: str) -> bool:
        """Whether `model`, a public name with or without a version, may be asked."""
        if self.patterns is None or "*" in self.patterns:
            return True
        bare = model.partition("@")[0]
        namespace = bare.partition("/")[0]
        return bare in self.patterns or ("/" in bare and f"{namespace}/*" in self.patterns)

    @property
    def may_ask_all(self) -> bool:
        """Whether nothing is hidden from this client."""
        return self.patterns is None or "*" in self.patterns


class Access(Protocol):
    """Tells who is asking."""

    def client_of(self, authorization: str) -> Client | None:
        """The client behind an Authorization header, empty where there is none; None: nobody."""


class Everybody:
    """One machine, one user: the address is loopback, and there are no keys."""

    def client_of(self, authorization: str) -> Client | None:
        """Whoever asks may ask everything."""
        return Client("local")


class KeyFolder:
    """The keys in a folder, as a Secret is mounted; read again when it changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state: object = None
        self._keys: tuple[tuple[bytes, Client], ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read the keys again if a file changed; what cannot be read changes nothing."""
        try:
            files = _files(self._folder)
            state = [
                (path.name, status.st_ino, status.st_mtime_ns, status.st_size)
                for path in files
                for status in (path.stat(),)
            ]
            if state == self._state:
                return
            keys = [key for path in files for key in _keys_of(path)]
        except OSError as error:
            log.error("the API keys cannot be read: %s", error)
            return
        self._state = state
        self._keys = tuple(keys[:_MAX_KEYS])
        clients = {client.name for _, client in self._keys}
        log.info("%d API keys of %d clients", len(self._keys), len(clients))

    def client_of(self, authorization: str) -> Client | None:
        """Compare with every key, whatever the outcome of the ones before."""
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode()).digest()
        found = None
        for known, client in self._keys:
            if hmac.compare_digest(known, digest):
                found = client
        return found if scheme.lower() == "bearer" else None


def parse_keys(name: str, text: str) -> list[tuple[bytes, Client]]:
    """Read one entry of the Secret; returns the SHA-256 of each key with its client.

    A line that is no key is left out and logged, without what it says.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        why = _fault(words)
        if why:
            log.error("line %d of the API keys of %s is left out: %s", number, name, why)
            continue
        hashed = _HASHED.fullmatch(words[0])
        digest = bytes.fromhex(hashed[1]) if hashed else hashlib.sha256(words[0].encode()).digest()
        keys.append((digest, Client(name, tuple(words[1:]))))
    return keys


def _fault(words: Sequence[str]) -> str:
    if not _MIN_KEY_LENGTH <= len(words[0]) <= _MAX_KEY_LENGTH:
        return f"a key has {_MIN_KEY_LENGTH} to {_MAX_KEY_LENGTH} characters"
    if len(words) == 1:
        return "no model follows the key"
    if not all(_PATTERN.fullmatch(pattern) for pattern in words[1:]):
        return "a model is written <namespace>/<name>, <namespace>/*, base or *"
    return ""


def _files(folder: Path) -> list[Path]:
    # Kubernetes keeps the versions of a mounted Secret in folders that begin with two dots.
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()
    )


def _keys_of(path: Path) -> list[tuple[bytes, Client]]:
    with path.open("rb") as stream:
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        log.error("the API keys of %s are left out: more than %d bytes", path.name, _MAX_FILE_BYTES)
        return []
    return parse_keys(path.name, content.decode(errors="replace"))
