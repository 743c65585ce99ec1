"""The few object primitives that artifacts are built from, so that a folder and S3 behave alike.

Names are relative, `/`-separated and made by `nanodex.artifacts.layout`. Every write is atomic: a
reader sees all bytes of an object or no object.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import TryAgain

CHUNK = 1 << 20


class ObjectMissing(Exception):
    """There is no object of this name."""


class ObjectInfo(NamedTuple):
    """What a store knows of an object without reading it."""

    name: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """Objects by name. Every method may raise `TryAgain` (store away) or `UserError` (refused)."""

    @property
    def uri(self) -> str:
        """Where the store is, as `nanodex.artifacts.location.open_store` reads it; no secrets."""

    def read(self, name: str, *, limit: int) -> bytes:
        """Return a whole object of at most `limit` bytes.

        Raises:
            ObjectMissing: there is none.
            UserError: it is larger than `limit`.
        """

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield an object in chunks of about a megabyte.

        Raises:
            ObjectMissing: there is none; raised by the first chunk at the latest.
        """

    def write(self, name: str, data: bytes) -> None:
        """Create or replace an object."""

    def write_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object unless there is one; of concurrent callers exactly one gets True.

        A caller whose answer was lost on the network and who asked again may get False for its own
        write: compare the contents before concluding that another one was first.
        """

    def upload(self, name: str, path: Path, *, sha256: str) -> None:
        """Create or replace an object from a file whose content must have this SHA-256.

        Raises:
            TryAgain: DigestMismatch, the file changed while it was read; nothing was stored.
        """

    def info(self, name: str) -> ObjectInfo | None:
        """Return size and time of an object, None where there is none."""

    def entries(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix`, which ends with a slash, sorted by name."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""


def changed_while_read(path: Path) -> TryAgain:
    """Return the error for a file whose bytes are not those that were announced."""
    return TryAgain(
        f"{path.name} changed while it was uploaded",
        reason=Reason.DIGEST_MISMATCH,
        hint="Run the stage again; nothing else may write into its output folder.",
        exit_code=ExitCode.DIGEST_MISMATCH,
    )
