"""The errors that end a stage, each with a stable reason, an exit code and a hint.

Raise the narrowest one; the runner turns it into one line on the terminal, the exit code and the
termination message. Anything else that escapes a stage is a bug and exits with 1.
"""

from nanodex.api.reasons import ExitCode, Reason


class NanodexError(Exception):
    """What happened, why (`reason`), and what to do (`hint`)."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(
        self, message: str, *, reason: Reason, hint: str, exit_code: ExitCode | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UserError(NanodexError):
    """The user's input is wrong; trying again changes nothing. Exit codes 10-19."""

    exit_code = ExitCode.INVALID_INPUT


class NotServable(NanodexError):
    """What would be trained cannot be served. Exit codes 20-29."""

    exit_code = ExitCode.NOT_SERVABLE


class TryAgain(NanodexError):
    """Something outside failed for now: a store, git, the network. Exit codes 30-39."""

    exit_code = ExitCode.TRY_AGAIN


class Interrupted(NanodexError):
    """The stage was asked to stop and saved what it had. Exit code 75."""

    exit_code = ExitCode.INTERRUPTED
