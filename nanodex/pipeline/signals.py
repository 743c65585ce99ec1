"""Turns SIGTERM and Ctrl-C into a wish that a stage can grant: save, then stop."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nanodex.api.reasons import Reason
from nanodex.errors import Interrupted

_log = logging.getLogger(__name__)


class StopFlag:
    """Whether somebody asked to stop; may be set from any thread or signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the wish was made."""
        return self._event.is_set()

    def stop(self) -> None:
        """Make the wish."""
        self._event.set()

    def check(self) -> None:
        """Raise where the wish was made.

        Raises:
            Interrupted: it was.
        """
        if self.stopping:
            raise Interrupted(
                "stopped as asked",
                reason=Reason.INTERRUPTED,
                hint="Run the same command again: finished stages are kept, training goes on from "
                "its last checkpoint.",
            )


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Yield a flag that SIGTERM and SIGINT set; a second SIGINT raises KeyboardInterrupt.

    For the main thread only, as all of Python's signal handling.
    """
    flag = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.stop()
        _log.warning("%s: stopping at the next safe point", signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
