"""Turns what a user writes for a store into a store: a folder, `file:///...` or `s3://bucket/prefix`."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nanodex.api.reasons import Reason
from nanodex.artifacts.folder import FolderStore
from nanodex.artifacts.store import ObjectStore
from nanodex.errors import UserError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]*")


def open_store(
    location: str, *, endpoint: str | None = None, patience_seconds: float | None = None
) -> ObjectStore:
    """Return the store at `location`; nothing is asked of an S3 server yet.

    Args:
        location: a folder, `file:///...` or `s3://bucket/prefix`.
        endpoint: URL of the S3 server; None takes the environment's, else AWS.
        patience_seconds: how long a request to S3 is tried again; None is the store's own.

    Raises:
        UserError: `location` is malformed, the folder cannot be used or boto3 is not installed.
    """
    if location.startswith("s3://"):
        return _open_s3(location, endpoint=endpoint, patience_seconds=patience_seconds)
    if location.startswith("file://"):
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise _malformed(location)
        return FolderStore(Path(unquote(parts.path)))
    if "://" in location or not location or "\0" in location:
        raise _malformed(location)
    return FolderStore(Path(location).expanduser())


def _open_s3(location: str, *, endpoint: str | None, patience_seconds: float | None) -> ObjectStore:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if _BUCKET.fullmatch(bucket) is None or _PREFIX.fullmatch(prefix) is None:
        raise _malformed(location)
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise _malformed(location)
    try:
        # boto3 is an optional dependency and takes a third of a second to import.
        from nanodex.artifacts.s3 import PATIENCE_SECONDS, S3Store
    except ImportError as error:
        raise UserError(
            "S3 support is not installed",
            reason=Reason.INVALID_INPUT,
            hint="Install it: pip install 'nanodex[s3]'.",
        ) from error
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    return S3Store(bucket, prefix=prefix, endpoint=endpoint, patience_seconds=patience)


def _malformed(location: str) -> UserError:
    return UserError(
        f"{location!r} names no store",
        reason=Reason.INVALID_INPUT,
        hint="Write a folder, file:///folder or s3://bucket/prefix.",
    )
