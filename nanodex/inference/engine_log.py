"""What vLLM is doing while it starts, read from its log.

A start takes one to three minutes and vLLM answers nothing until its end, so the only thing that a
person can be told comes from the lines that it writes.
"""

import re
from pathlib import Path

_WINDOW = 64 << 10

# In the order in which vLLM reaches them: a text that its log then holds, and what it does next.
STEPS: tuple[tuple[str, str], ...] = (
    ("non-default args", "reading the base model's configuration"),
    ("Using max model len", "starting the engine process"),
    ("Initializing a V1 LLM engine", "starting the worker process"),
    ("Starting to load model", "loading weights"),
    ("KV cache size", "preparing the KV cache"),
    ("init engine", "starting the API"),
)
_FIRST_STEP = "importing vLLM"
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def read_from(path: Path, offset: int) -> str:
    """The last 64 KiB of the log written after `offset` bytes, without colours."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, 2)
            stream.seek(max(offset, end - _WINDOW))
            return _COLOUR.sub(b"", stream.read(_WINDOW)).decode(errors="replace")
    except FileNotFoundError:
        return ""


def start_step(text: str) -> tuple[int, str]:
    """How many steps of the start are done, and what vLLM does now.

    Args:
        text: the log of this start.
    """
    done = 0
    for index, (marker, _) in enumerate(STEPS, start=1):
        if marker in text:
            done = index
    return done, STEPS[done - 1][1] if done else _FIRST_STEP


def tail(path: Path, *, lines: int) -> str:
    """The last `lines` lines of the log on one line, errors preferred; empty without a log."""
    written = [line.strip() for line in read_from(path, 0).splitlines() if line.strip()]
    errors = [line for line in written if "Error" in line]
    return " | ".join((errors or written)[-lines:])
