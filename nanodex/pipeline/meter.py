"""Measures a stage: wall seconds and peak memory of this process and its children."""

import threading
import time
from contextlib import suppress
from types import TracebackType

import psutil

_INTERVAL_SECONDS = 0.2


class Meter:
    """Context manager; `seconds` and `peak_bytes` are valid during and after it.

    Memory is the resident set size of the process and all its descendants, sampled five times a
    second. Pages that processes share count for each of them, and what earlier stages left in this
    process counts too: it is an upper bound.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.seconds = 0.0
        self._start = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="meter", daemon=True)

    def __enter__(self) -> "Meter":
        self._start = time.monotonic()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.monotonic() - self._start
        self._done.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._done.wait(_INTERVAL_SECONDS):
            self._look()

    def _look(self) -> None:
        own = psutil.Process()
        total = own.memory_info().rss
        # Children come and go while they are counted.
        with suppress(psutil.Error):
            for child in own.children(recursive=True):
                with suppress(psutil.Error):
                    total += child.memory_info().rss
        self.peak_bytes = max(self.peak_bytes, total)
