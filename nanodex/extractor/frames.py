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


def receive(descriptor: int, *, patience: Callable[[], float] | None = None) -> bytes:
    """Read one frame.

    Args:
        descriptor: the pipe.
        patience: gives the seconds to wait until it is asked again, and raises Overdue when there
            are none left; None waits for ever.

    Raises:
        Closed: end of the pipe, or a length that no frame has.
        Overdue: `patience` is at its end.
    """
    (length,) = _LENGTH.unpack(_exactly(descriptor, _LENGTH.size, patience=patience))
    if length > _MAX_FRAME:
        raise Closed
    return _exactly(descriptor, length, patience=patience)


def _exactly(descriptor: int, size: int, *, patience: Callable[[], float] | None) -> bytes:
    chunks = []
    while size:
        if patience is not None and not select.select([descriptor], [], [], patience())[0]:
            continue
        chunk = os.read(descriptor, min(size, 1 << 20))
        if not chunk:
            raise Closed
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
