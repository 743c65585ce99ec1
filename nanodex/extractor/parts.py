"""Links the files in parts: forked processes side by side, whose rows are taken in order of path.

Linking looks at the whole program, and a forked process has it without a copy. Which files make a
part depends on the files alone, and each part begins from the same state: the rows are the same
however many processes work at once.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from tempfile import TemporaryFile

import msgspec

from nanodex.extractor.linker import LinkedUnit, Linker
from nanodex.extractor.portions import portions
from nanodex.extractor.program import Unit

# Bytes of packed uses after which a part ends: a process costs as much as linking a tenth of it.
_PART_BYTES = 1024 * 1024

_FORK = multiprocessing.get_context("fork")
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LinkedUnit)


@contextmanager
def linking(linker: Linker, *, workers: int) -> Iterator[Iterator[LinkedUnit]]:
    """Begin to link all files; inside the block, their rows come in order of path.

    Args:
        linker: the program.
        workers: processes at work at once; 0 is one for each core that this process may use.

    Raises:
        RuntimeError: inside the block; a process came to its end before it had linked its part.
    """
    divided = portions(linker.units, weigh=lambda unit: len(unit.packed_uses), enough=_PART_BYTES)
    parts = [_Part(linker, units) for units in divided]
    if len(parts) == 1:
        # A second process would cost more than it saves.
        yield map(linker.number, map(linker.link, linker.units))
        return
    processes = _Processes(parts, at_once=workers or len(os.sched_getaffinity(0)))
    try:
        processes.fill()  # they work while the caller does something else first
        yield (linker.number(one) for part in parts for one in processes.rows(part))
    finally:
        processes.stop()


class _Part:
    """Files that follow each other, and the process that links them."""

    def __init__(self, linker: Linker, units: Sequence[Unit]) -> None:
        self._linker = linker
        self._units = units

    def start(self) -> None:
        # Not a pipe: a process that is done goes, and makes room for the next.
        self._spool = TemporaryFile()
        self.process = _FORK.Process(target=self._link, daemon=True)
        self.process.start()

    def _link(self) -> None:
        # File by file, here and in `rows`: the rows of a whole part would weigh more than it did.
        for unit in self._units:
            self._spool.write(_ENCODER.encode(self._linker.link(unit)))
            self._spool.write(b"\n")  # which JSON of msgspec never holds
        self._spool.flush()

    def rows(self) -> Iterator[LinkedUnit]:
        self.process.join()
        if self.process.exitcode:
            raise RuntimeError(
                f"the process that linked {self._units[0].path} to {self._units[-1].path} "
                f"ended with {self.process.exitcode}"
            )
        with self._spool:
            self._spool.seek(0)
            yield from map(_DECODER.decode, self._spool)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self._spool.close()


class _Processes:
    """Keeps a number of the parts' processes at work, in the order of the parts."""

    def __init__(self, parts: Sequence[_Part], *, at_once: int) -> None:
        self._waiting = deque(parts)
        self._at_once = at_once
        self._started: deque[_Part] = deque()

    def fill(self) -> None:
        """Start what there is room for."""
        for _ in range(min(self._at_once - len(self._running()), len(self._waiting))):
            self._started.append(self._waiting.popleft())
            self._started[-1].start()

    def rows(self, part: _Part) -> Iterator[LinkedUnit]:
        """Yield the rows of `part`, the first whose rows are still wanted; others begin."""
        self.fill()
        while part.process.is_alive():
            # With `part` in any case: it may have ended since it was asked.
            wait({one.process.sentinel for one in (part, *self._running())})
            self.fill()
        yield from part.rows()
        self._started.popleft()

    def _running(self) -> list[_Part]:
        return [part for part in self._started if part.process.is_alive()]

    def stop(self) -> None:
        """End those whose rows nobody wants any more."""
        for part in self._started:
            part.stop()
