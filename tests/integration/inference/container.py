"""A container of a Pod as a process of this machine."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Container:
    """One container of the Pod, started again whenever it ends."""

    def __init__(self, spec: dict[str, Any], *, at: Callable[[str], str], log: Path) -> None:
        words = [*spec["command"], *spec.get("args", [])]
        self._command = [at(word) for word in words]
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")},
            **{one["name"]: at(one["value"]) for one in spec["env"]},
        }
        self._log = log
        self._ended = threading.Event()
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _keep(self) -> None:
        while not self._ended.is_set():
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.starts += 1
            self.process.wait()
            # What is left of a container goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, *, limit_seconds: float = 60.0) -> float:
        """Send SIGTERM and wait; returns the seconds."""
        self._ended.set()
        assert self.process is not None
        started = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self._thread.join(limit_seconds)
        if self._thread.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self._thread.join()
        return time.monotonic() - started
