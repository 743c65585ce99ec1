"""A process that does nothing for a while, with its connections open."""

import os
import signal
import subprocess


def pause(process: "subprocess.Popen[bytes]") -> None:
    """Let one of our own processes do nothing; it is at rest when this returns.

    A signal alone is only on its way: on a busy machine threads go on for a while.
    """
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def resume(process: "subprocess.Popen[bytes]") -> None:
    """Let it go on."""
    process.send_signal(signal.SIGCONT)
