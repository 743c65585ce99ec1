"""What an API server says when it does not do what was asked, in the words that we use."""

import json
from collections.abc import Callable

# A longer wait is left to the queue: a worker is not held for it.
_LONGEST_RETRY_AFTER = 10.0


class ClusterError(Exception):
    """The API server did not do what was asked.

    Attributes:
        code: HTTP status; 0 where no answer came.
        reason: `reason` of the Status object, for instance AlreadyExists.
        message: in the API server's words.
    """

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason


class NotFound(ClusterError):
    """There is no such object."""


class AlreadyExists(ClusterError):
    """An object of this name is there."""


class Conflict(ClusterError):
    """The object is not the one, or not the version, that was meant."""


class Refused(ClusterError):
    """Asking again changes nothing: no right, a quota, an admission rule, an invalid object."""


class Unavailable(ClusterError):
    """The API server is away, too busy or broken; it was asked for `PATIENCE_SECONDS`."""

    retry_after: float = 0.0


def refusal(code: int, data: bytes, *, retry_after: str | None) -> ClusterError:
    """Turn an answer that is not a success into our error."""
    try:
        status = json.loads(data)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", data[:500].decode(errors="replace")
    kind: Callable[..., ClusterError]
    if code == 404:
        kind = NotFound
    elif code == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    elif code == 409:
        kind = Conflict
    elif code in (401, 408, 429) or code >= 500:
        kind = Unavailable
    else:
        kind = Refused
    error = kind(f"{code} {reason}: {message}"[:1000], code=code, reason=reason)
    if isinstance(error, Unavailable) and retry_after is not None and retry_after.isdecimal():
        error.retry_after = min(_LONGEST_RETRY_AFTER, float(retry_after))
    return error
