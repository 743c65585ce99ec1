"""The operator as a real process, logged in with the token of its ServiceAccount."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.controlplane.api import eventually
from tests.controlplane.processes import ProcessGroup
from tests.pausing import pause, resume

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0


class OperatorProcess:
    """`python -m nanodex_operator`, started, stopped and killed by a test."""

    def __init__(
        self, folder: Path, *, kubeconfig: Path, settings: Mapping[str, str], group: ProcessGroup
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: Its own; its log is written there.
            kubeconfig: Of its ServiceAccount.
            settings: Environment: NANODEX_<NAME> and AWS's own.
            group: What it ends with, whatever becomes of the test process.
        """
        self.log = folder / "operator.log"
        self._group = group
        self._environment = {
            "PATH": os.defpath,
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}",
            "PYTHONWARNINGS": "default",
            "PYTHONPYCACHEPREFIX": os.environ.get(
                "PYTHONPYCACHEPREFIX", str(folder.parent / "bytecode")
            ),
            "KUBECONFIG": str(kubeconfig),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        # Of this start: what an earlier one said stays in the file.
        self._begins_at = 0

    def start(self) -> None:
        """Start, and return before it does anything."""
        assert self._process is None, "it runs"
        self._begins_at = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn("-m", "nanodex_operator")

    def wait_until_leading(self, *, seconds: float = _START_SECONDS) -> None:
        """Wait until it holds the lease."""
        eventually(lambda: self._alive() and self.said("holding the lease"), seconds=seconds)

    def wait(self, *, seconds: float = 60.0) -> int:
        """Wait until it ended by itself; return the exit code."""
        assert self._process is not None
        code = self._process.wait(timeout=seconds)
        self._process = None
        return code

    def terminate(self) -> int:
        """Ask it to stop, as a kubelet does; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once, as a crash of its node would; it may have ended already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart_if_ended(self) -> None:
        """Do what a kubelet does with a container that ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            self.start()

    def pause(self) -> None:
        """Let it do nothing while its connections stay open."""
        assert self._process is not None
        pause(self._process)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        resume(self._process)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def said(self, words: str) -> bool:
        """Return whether a log line since the last start has these words."""
        return any(words in line["message"] for line in _lines(self._text()[self._begins_at :]))

    def errors(self) -> list[str]:
        """Return the log lines that say a bug was met, in any of its lives."""
        return [
            json.dumps(line, indent=1)
            for line in _lines(self._text())
            if "exception" in line or line["level"] == "critical"
        ] + ([self.tail()] if b"\nTraceback" in self._text() else [])

    def tail(self) -> str:
        """Return the end of its log."""
        return self._text()[-6000:].decode(errors="replace")

    def metrics(self) -> dict[str, float]:
        """Return its metrics by name and labels."""
        text = httpx.get(self._url("/metrics"), trust_env=False, timeout=30).text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        return {name: float(value) for name, value in samples}

    def healthy(self) -> bool:
        """Return what its liveness probe says."""
        return httpx.get(self._url("/healthz"), trust_env=False, timeout=5).is_success

    def _spawn(self, *arguments: str, pipes: bool = False) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=self._environment,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else log,
                stderr=log,
                cwd=self.log.parent,
                process_group=self._group.id,
            )

    def _text(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def _url(self, path: str) -> str:
        for line in _lines(self._text()[self._begins_at :]):
            found = re.fullmatch(rf"answering {path} on port (\d+)", line["message"])
            if found is not None:
                return f"http://127.0.0.1:{found[1]}{path}"
        raise AssertionError(f"it does not answer {path} yet:\n{self.tail()}")

    def _alive(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"it ended with {code}:\n{self.tail()}"
        return True


class ForkedOperator(OperatorProcess):
    """An operator that is started very often: a process that has imported everything is forked."""

    _parent: "subprocess.Popen[bytes] | None" = None
    _child = 0

    def start(self) -> None:
        """Start, and return before it does anything."""
        assert not self._child, "it runs"
        if self._parent is None:
            self._parent = self._spawn("-c", _FORK, pipes=True)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._begins_at = len(self._text())
        self._parent.stdin.write(b"\n")
        self._parent.stdin.flush()
        self._child = int(self._parent.stdout.readline())

    def strike(self) -> None:
        """Send SIGKILL and do not wait; it may have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)

    def reap(self) -> int:
        """Wait until it has ended; return what it ended by, as `os.waitpid` does."""
        assert self._parent is not None
        assert self._parent.stdout is not None
        ended_by, self._child = int(self._parent.stdout.readline()), 0
        return ended_by

    def kill(self) -> None:
        """End it and the process that it is forked from."""
        if self._parent is not None:
            if self._child:
                self.strike()
                self.reap()
            with self._parent:
                self._parent.kill()
            self._parent = None

    def restart_if_ended(self) -> None:
        """Do nothing: the test restarts it."""


_FORK = """
import os, sys
import nanodex_operator.__main__ as operator
for _ in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(operator.main())
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def _lines(log: bytes) -> list[dict[str, Any]]:
    """Return what was logged: each line is one JSON object, but for one that was cut off."""
    lines = []
    for line in log.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines
