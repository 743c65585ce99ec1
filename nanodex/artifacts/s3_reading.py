"""A download from S3 that goes on over a new connection where the one before it broke."""

from typing import Any

from botocore import exceptions as aws

from nanodex.artifacts.store import CHUNK


class Reading:
    """A download that knows how far it is.

    Args:
        client: boto3's, of S3.
        at: bucket and key.
    """

    def __init__(self, client: Any, at: dict[str, str]) -> None:
        self._client = client
        self._at = at
        first = client.get_object(**at)
        self._size: int = first["ContentLength"]
        self._tag: str = first["ETag"]
        self._body: Any = first["Body"]
        self._offset = 0

    @property
    def finished(self) -> bool:
        """Whether all was read."""
        return self._offset >= self._size

    def next_chunk(self) -> bytes:
        """Return what comes next; after an error the next call goes on from there."""
        if self._body is None:
            # The tag makes sure that it is still the same object.
            self._body = self._client.get_object(
                **self._at, Range=f"bytes={self._offset}-", IfMatch=self._tag
            )["Body"]
        try:
            chunk: bytes = self._body.read(CHUNK)
            if not chunk:
                raise aws.IncompleteReadError(actual_bytes=self._offset, expected_bytes=self._size)
        except aws.BotoCoreError:
            self.close()
            raise
        self._offset += len(chunk)
        return chunk

    def close(self) -> None:
        """Let go of the connection."""
        if self._body is not None:
            self._body.close()
            self._body = None
