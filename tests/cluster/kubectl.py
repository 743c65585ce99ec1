"""kubectl as a user runs it: for what goes through a Pod, and to ask who may do what."""

import os
import subprocess
from pathlib import Path


class Kubectl:
    """One kubectl with nothing of the user's own configuration.

    Args:
        binary: its path.
        kubeconfig: the cluster.
    """

    def __init__(self, binary: Path, *, kubeconfig: Path) -> None:
        self._command = [str(binary), f"--kubeconfig={kubeconfig}", "--request-timeout=120s"]

    def run(self, *arguments: str, namespace: str = "", check: bool = True) -> str:
        """Return what a command prints.

        Raises:
            AssertionError: it failed.
        """
        inside = [f"--namespace={namespace}"] if namespace else []
        done = subprocess.run(
            [*self._command, *inside, *arguments],
            env={"PATH": os.defpath, "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr
