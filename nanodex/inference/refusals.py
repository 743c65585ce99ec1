"""Every answer that is not the engine's, in the form that OpenAI's clients read."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import JSONResponse, Response

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refusal(Exception):
    """A request that is not passed on.

    Args:
        status: HTTP status.
        message: why, and what to do.
        code: OpenAI's machine-readable reason, where there is one.
        param: the field that is wrong.
        retry_after: seconds until another try is worth it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after

    def response(self) -> Response:
        """The answer to the client."""
        kind = _KINDS.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        headers = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, status_code=self.status, headers=headers)


class Turns:
    """How many requests of one client are answered at the same time.

    Args:
        limit: for each client.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str) -> Iterator[None]:
        """Count one request of `client` while the block runs.

        Raises:
            Refusal: 429, there are too many.
        """
        if self._taken[client] >= self._limit:
            raise Refusal(
                429,
                f"more than {self._limit} requests at the same time with this key",
                code="rate_limit_exceeded",
                retry_after=1,
            )
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
