"""Length-prefixed byte frames on a pipe: what parent and parser processes say to each other.

Frames carry JSON and raw bytes. The parser process has just read a stranger's file, so nothing
that it says is unpickled.
"""

import os
import select
import struct
from collections.abc import Callable

_LENGTH = struct.Struct(">I")
_MAX_FRAME = 1 << 30
_READ_BYTES = 1 << 20


class Closed(Exception):
    """The other side is gone, or talks nonsense."""


class Overdue(Exception):
    """No whole frame came in time."""


def send(descriptor: int, *frames: bytes) -> None:
    """Write frames in one go.

    Raises:
        Closed: the other side is gone.
    """
    data = memoryview(
        b"".join(part for frame in frames for part in (_LENGTH.pack(len(frame)), frame))
    )
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError:
        raise Closed from None


class Incoming:
    """The frames that come on a pipe, read as many at once as are there."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = bytearray()

    def receive(self, *, patience: Callable[[], float] | None = None) -> bytes:
        """Return the next frame.

        Args:
            patience: gives the seconds to wait until it is asked again, and raises Overdue when
                there are none left; None waits for ever.

        Raises:
            Closed: end of the pipe, or a length that no frame has.
            Overdue: `patience` is at its end.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, patience))
        if length > _MAX_FRAME:
            raise Closed
        return self._exactly(length, patience)

    def _exactly(self, size: int, patience: Callable[[], float] | None) -> bytes:
        while len(self._unread) < size:
            if (
                patience is not None
                and not select.select([self._descriptor], [], [], patience())[0]
            ):
                continue
            read = os.read(self._descriptor, _READ_BYTES)
            if not read:
                raise Closed
            self._unread += read
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken
