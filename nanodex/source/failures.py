"""Turns git's words into one of our errors, with the secrets taken out."""

import re
from collections.abc import Iterable

from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NanodexError, TryAgain, UserError

_MAX_MESSAGE = 400

_NOT_ALLOWED = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied (",
    "host key verification failed",
    "error: 401",
    "error: 403",
    "access denied",
    "http basic: access denied",
    "invalid credentials",
    "load key ",
)
_NO_REPOSITORY = (
    "repository not found",
    "does not appear to be a git repository",
    "error: 404",
    "' not found",
    "project you were looking for could not be found",
)
_WRONG_ADDRESS = (
    "strange hostname",
    "not allowed",
    "strange pathname",
    "unable to find remote helper",
)
_UNTRUSTED_SERVER = (
    "certificate problem",
    "certificate verification failed",
    "ssl certificate",
    "unable to get local issuer",
)

# What git adds to every failure of a transport.
_SAYS_NOTHING = (
    "fatal: could not read from remote repository.",
    "please make sure you have the correct access rights",
    "and the repository exists.",
)


def explain(stderr: str, *, url: str, secrets: Iterable[str]) -> NanodexError:
    """Return the error that `stderr` of a git command means.

    What git says is sorted into: credentials are wrong, nothing is there, the address is wrong, and
    everything else, which may work when tried again.

    Args:
        stderr: what git printed with LC_ALL=C; part of it may come from the server.
        url: address that git talked to.
        secrets: values that must not stand in the message.
    """
    said = clean(stderr, secrets=secrets)
    low = said.lower()
    where = clean(url, secrets=secrets)
    if any(sign in low for sign in _NOT_ALLOWED):
        return UserError(
            f"{where} did not accept the credentials: {said}",
            reason=Reason.AUTHENTICATION_FAILED,
            hint="check secretRef (username/password, bearerToken or identity/known_hosts); "
            "many servers say the same of a repository that does not exist",
            exit_code=ExitCode.AUTHENTICATION_FAILED,
        )
    if any(sign in low for sign in _UNTRUSTED_SERVER):
        return UserError(
            f"the certificate of {where} is not trusted: {said}",
            reason=Reason.INVALID_INPUT,
            hint="put the certificate authority of the server into the Secret as ca.crt",
        )
    if any(sign in low for sign in _WRONG_ADDRESS):
        return UserError(
            f"git does not take the address {where}: {said}",
            reason=Reason.INVALID_INPUT,
            hint="use an https or ssh address",
        )
    if any(sign in low for sign in _NO_REPOSITORY):
        return UserError(
            f"there is no git repository at {where}: {said}",
            reason=Reason.INVALID_INPUT,
            hint="check source.git.url; a private repository needs secretRef",
        )
    return unavailable(f"git could not read {where}: {said}")


def unavailable(message: str) -> TryAgain:
    """Return the error for a git server that does not answer for now."""
    return TryAgain(
        message,
        reason=Reason.GIT_UNAVAILABLE,
        hint="check that the git server can be reached from here, then try again",
        exit_code=ExitCode.GIT_UNAVAILABLE,
    )


def too_large(what: str) -> UserError:
    """Return the error for a repository over a limit; `what` says which."""
    return UserError(
        what,
        reason=Reason.INVALID_INPUT,
        hint="learn a part of the repository: subPath, include and exclude narrow it",
    )


def clean(text: str, *, secrets: Iterable[str]) -> str:
    """Return `text` on one line, printable, bounded, without secrets and users of addresses."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = re.sub(r"://[^/@\s]*@", "://", text)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and line.lower() not in _SAYS_NOTHING]
    one_line = "; ".join(lines)
    printable = "".join(c if c.isprintable() else " " for c in one_line)
    # git states the cause last.
    return printable if len(printable) <= _MAX_MESSAGE else "…" + printable[-_MAX_MESSAGE:]
