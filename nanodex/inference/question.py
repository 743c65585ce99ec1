"""What a client asks: read within bounds, and kept as bytes while it waits."""

import asyncio
from typing import Any

from starlette.requests import Request

from nanodex.inference.messages import Protocol, parse_body
from nanodex.inference.refusals import Refusal

# A prompt of 128k tokens is about half of this.
MAX_BODY_BYTES = 2 << 20
_BODY_SECONDS = 60.0


class Question:
    """The body of a request, decoded when it is needed.

    While it waits only the bytes are kept: decoded, they may take twenty times as much memory.

    Args:
        sent: the body.
        protocol: what it is to be read as.

    Raises:
        BadRequest: see `parse_body`.
    """

    def __init__(self, *, sent: bytes, protocol: Protocol) -> None:
        self.protocol = protocol
        self._sent = sent
        self._body: dict[str, Any] | None = parse_body(sent)
        self.model: str = self._body["model"]

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self._sent)

    @property
    def body(self) -> dict[str, Any]:
        """The decoded body."""
        if self._body is None:
            self._body = parse_body(self._sent)
        return self._body

    def forget(self) -> None:
        """Keep no more than the bytes."""
        self._body = None


async def read_question(request: Request, *, protocol: Protocol) -> Question:
    """Read the body of a request, within bounds.

    Raises:
        BadRequest: see `parse_body`.
        Refusal: 408, 413 or 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A web page can send other types across origins without being asked first.
    if media_type != "application/json":
        raise Refusal(415, "the content type must be application/json")
    too_large = Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {_BODY_SECONDS:.0f} s") from None
    return Question(sent=bytes(body), protocol=protocol)
