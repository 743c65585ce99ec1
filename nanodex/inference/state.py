"""The state folder of one server: who runs it, what it shall serve, what it says of itself.

One process holds the lock; everybody else reads files that are replaced at once. The process id in
the lock file can be trusted only while the lock is held, so nothing else is ever signalled.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from nanodex.api.agent_report import AdapterReport, AdapterState
from nanodex.api.base import Contract
from nanodex.api.parameters import InferenceConfig
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import UserError
from nanodex.inference.desired import write_atomically

# In-flight answers may take this long after a stop was asked for.
DRAIN_SECONDS = 30
_MAX_BYTES = 16 << 20
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_SECONDS = 0.05
Model = TypeVar("Model", bound=Contract)


class Launch(Contract):
    """launch.json: what a server was started with; another launch needs another server."""

    config: InferenceConfig
    base_model: Path


class ServerInfo(Contract):
    """server.json: where a running server is found."""

    url: str = Field(description="Address of the agent, without /v1.")
    models: tuple[str, ...] = Field(description="Public names that answer, the base model first.")
    pid: int
    state: Path
    adapters: tuple[AdapterReport, ...] = ()

    @property
    def quarantined(self) -> tuple[AdapterReport, ...]:
        """The versions that were refused, each with its reason."""
        return tuple(
            adapter for adapter in self.adapters if adapter.state is AdapterState.QUARANTINED
        )


class Failure(Contract):
    """failure.json: why a server in the background did not start."""

    message: str
    reason: Reason
    hint: str
    exit_code: ExitCode


@dataclass(frozen=True)
class StateFolder:
    """Paths below a server's state folder."""

    root: Path

    @property
    def launch(self) -> Path:
        """What the server was started with."""
        return self.root / "launch.json"

    @property
    def desired(self) -> Path:
        """What it shall serve; watched."""
        return self.root / "desired.json"

    @property
    def server(self) -> Path:
        """Where it is found, written when it is ready."""
        return self.root / "server.json"

    @property
    def status(self) -> Path:
        """What it serves, rewritten at every change."""
        return self.root / "status.json"

    @property
    def failure(self) -> Path:
        """Why it did not start."""
        return self.root / "failure.json"

    @property
    def socket(self) -> Path:
        """The engine's socket, in a folder that only this user can enter."""
        return self.root / "run" / "engine.sock"

    @property
    def adapters(self) -> Path:
        """Immutable folders, one a digest."""
        return self.root / "adapters"

    @property
    def engine_log(self) -> Path:
        """What vLLM writes."""
        return self.root / "engine.log"

    @property
    def server_log(self) -> Path:
        """What a server in the background writes."""
        return self.root / "server.log"

    def create(self) -> None:
        """Make the folder, for this user alone."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this folder.

        Raises:
            UserError: another process serves from it.
        """
        self.create()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _acquired(descriptor):
                raise UserError(
                    f"a server with process id {self.holder()} already uses {self.root}",
                    reason=Reason.INVALID_INPUT,
                    hint="stop it with: nanodex serve --stop, or choose another state folder",
                )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """Process id of the server that uses this folder, None if there is none."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            return int(text) if text.isdigit() and int(text) > 1 else None
        finally:
            os.close(descriptor)
        return None

    @property
    def _lock(self) -> Path:
        return self.root / "lock"


def _acquired(descriptor: int) -> bool:
    # Whoever looks for a holder takes the lock for a moment, so one refusal means nothing.
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def read_model(path: Path, model: type[Model]) -> Model | None:
    """Read one of the files above; None if it is absent or was written by another version."""
    try:
        with path.open("rb") as stream:
            return model.model_validate_json(stream.read(_MAX_BYTES))
    except (OSError, ValidationError):
        return None


def write_model(path: Path, value: Contract) -> None:
    """Replace one of the files above at once."""
    write_atomically(path, value.model_dump_json(indent=1))
