"""Which failures of S3 are asked again about, for how long, and what is said when that ends.

Retries are tenacity's alone, so that there is one bound: an operation is tried again for some
seconds after its first attempt. After that the store counts as unavailable (exit 31).
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from botocore import exceptions as aws
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from nanodex.artifacts.s3_errors import RETRIED_CODES, explain
from nanodex.artifacts.store import ObjectMissing
from nanodex.errors import NanodexError

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Taken(Exception):
    """The object is there already."""


class Patience:
    """Calls until there is an answer.

    Args:
        where: URI of the store, for what is said.
        seconds: how long one operation is tried again.
        reconnect: drops all connections; called where somebody else than the store answered.
    """

    def __init__(self, where: str, *, seconds: float, reconnect: Callable[[], None]) -> None:
        self._where = where
        self._seconds = seconds
        self._reconnect = reconnect

    def __call__(self, attempt: Callable[[], _Result], *, name: str) -> _Result:
        """Call `attempt`, about the object `name`, until it succeeds, fails for good or time ends.

        Raises:
            ObjectMissing: there is no such object.
            Taken: it was to be written only where there is none.
            NanodexError: what else is wrong, in a user's terms.
        """
        retrying = Retrying(
            stop=stop_after_delay(self._seconds),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception(_is_transient),
            before_sleep=self._before_again,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except aws.ClientError as error:
            if code_of(error) == "NoSuchKey":
                raise ObjectMissing(name) from None
            if code_of(error) == "PreconditionFailed":
                raise Taken(name) from None
            raise self.explained(error) from error
        except aws.BotoCoreError as error:
            raise self.explained(error) from error

    def explained(self, error: Exception) -> NanodexError:
        """Return what `error`, one of botocore's, means to a user."""
        if isinstance(error, aws.ClientError):
            code, detail = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
        else:
            code, detail = type(error).__name__, str(error)
        return explain(code, detail=detail, where=self._where, transient=_is_transient(error))

    def _before_again(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, aws.ClientError) and is_foreign(error):
            # Who kept this connection would be asked again.
            self._reconnect()
        # The first failures are ordinary; a person is told when it lasts.
        level = logging.WARNING if state.attempt_number >= 4 else logging.DEBUG
        _log.log(
            level,
            "%s does not answer (%s); asked %d times, giving up after %.0f s",
            self._where,
            type(error).__name__,
            state.attempt_number,
            self._seconds,
        )


def code_of(error: aws.ClientError) -> str:
    """Return S3's error code, or the HTTP status of an answer without one."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_foreign(error: aws.ClientError) -> bool:
    """Tell whether an answer says that something is not there, but not in the words of S3.

    An ingress or a gateway in front of a store that is away answers so, of any object.
    """
    return code_of(error) == "404"


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, aws.ClientError):
        if is_foreign(error):
            return True
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        # 501 is an answer (a header it does not know), not a failure.
        return (status >= 500 and status != 501) or code_of(error) in RETRIED_CODES
    return not isinstance(error, aws.SSLError) and isinstance(
        error, aws.ConnectionError | aws.HTTPClientError | aws.IncompleteReadError
    )
