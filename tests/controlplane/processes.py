"""Server processes that end with the test process, whatever it ends by."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.pausing import pause, resume

# Waits until its input ends, which it does when the test process is gone, and ends its group.
_GUARD = "import os, signal, sys; sys.stdin.read(); os.killpg(0, signal.SIGKILL)"


class ProcessGroup:
    """The servers of one control plane: one process group, led by a guard that outlives us."""

    def __init__(self) -> None:
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD], stdin=subprocess.PIPE, process_group=0
        )

    @property
    def id(self) -> int:
        """What the servers are started in."""
        return self._guard.pid

    def end(self) -> None:
        """Kill everything in the group."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()


class Server:
    """One server: its command line, its process and its log."""

    def __init__(
        self, command: Sequence[str | Path], *, group: ProcessGroup, log: Path, name: str
    ) -> None:
        self.name = name
        self.log = log
        self._command = [os.fspath(part) for part in command]
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start; what it says is added to the log."""
        assert not self.runs, f"{self.name} runs"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                process_group=self._group.id,
                # Nothing of the caller's: no proxy, no KUBECONFIG, no credentials.
                env={"PATH": os.defpath, "HOME": str(self.log.parent)},
            )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until the server is ready; a server that ends says why."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert self._process is not None
            code = self._process.poll()
            assert code is None, f"{self.name} ended with {code}:\n{self.tail()}"
            assert time.monotonic() < deadline, (
                f"{self.name} is not ready after {seconds:.0f} s:\n{self.tail()}"
            )
            time.sleep(0.05)

    def kill(self) -> None:
        """End at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering while connections stay open."""
        assert self._process is not None
        pause(self._process)

    def resume(self) -> None:
        """Go on."""
        if self._process is not None:
            resume(self._process)

    def tail(self, *, lines: int = 30) -> str:
        """Return the end of the log, and where the rest is."""
        said = (
            self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        )
        return "\n".join([f"--- {self.log}", *said])
