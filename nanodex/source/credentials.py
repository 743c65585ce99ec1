"""Credentials for a git server, read from a folder that looks like a mounted Secret."""

from dataclasses import dataclass, field
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.errors import NanodexError, TryAgain, UserError

# A Secret holds at most 1 MiB; a credential is far smaller.
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Credentials:
    """What a server may ask for; nothing of it shows in `repr`.

    Attributes:
        username: with `password`, for https.
        password: a password or an access token.
        bearer_token: for https servers that take a token in the Authorization header.
        identity: private key, for ssh.
        known_hosts: host keys in the format of OpenSSH, for ssh.
        ca_certificates: further certificate authorities in PEM, for https.
    """

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)
    ca_certificates: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never be printed."""
        return tuple(value for value in (self.password, self.bearer_token) if value)


def read_credentials(folder: Path) -> Credentials:
    """Read the keys of a Secret mounted at `folder`.

    The keys are those of Flux and Argo: `username` and `password`, or `bearerToken`, or `identity`
    and `known_hosts`; `ca.crt` may stand beside each of them. Other files are not read.

    Raises:
        UserError: a file cannot be read, is too large, is not text, or half of a pair is missing.
        TryAgain: the folder is empty: the Secret is not there yet.
    """
    credentials = Credentials(
        username=_line(folder / "username"),
        password=_line(folder / "password"),
        bearer_token=_line(folder / "bearerToken"),
        identity=_text(folder / "identity"),
        known_hosts=_text(folder / "known_hosts"),
        ca_certificates=_text(folder / "ca.crt"),
    )
    for one, other, names in (
        (credentials.username, credentials.password, "username and password"),
        (credentials.identity, credentials.known_hosts, "identity and known_hosts"),
    ):
        if bool(one) != bool(other):
            raise _wrong(folder, f"{names} belong together, but only one of them is there")
    if credentials.bearer_token and credentials.password:
        raise _wrong(folder, "it has both bearerToken and password")
    if credentials == Credentials():
        raise _nothing(folder)
    return credentials


def _line(path: Path) -> str:
    value = _text(path).rstrip("\r\n")
    if any(character in value for character in "\r\n\0"):
        raise _wrong(path.parent, f"{path.name} has more than one line")
    return value


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _wrong(path.parent, f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise _wrong(path.parent, f"{path.name} is larger than {_MAX_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _wrong(path.parent, f"{path.name} is not text") from None


def _nothing(folder: Path) -> NanodexError:
    # The kubelet's own entries start with two dots; without the Secret they are all there is.
    if not folder.is_dir() or any(not path.name.startswith("..") for path in folder.glob("*")):
        return _wrong(folder, "none of the known keys is there")
    return TryAgain(
        f"there are no git credentials in {folder}",
        reason=Reason.AUTHENTICATION_FAILED,
        hint="create the Secret that source.git.secretRef names, with username and password, or "
        "bearerToken, or identity and known_hosts",
    )


def _wrong(folder: Path, what: str) -> UserError:
    return UserError(
        f"the git credentials in {folder} cannot be used: {what}",
        reason=Reason.INVALID_INPUT,
        hint="give username and password, or bearerToken, or identity and known_hosts",
    )
