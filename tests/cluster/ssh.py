"""Keys of the git server over ssh: the server's own, and one that it lets in."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


class SshKeys:
    """Two key pairs, made anew for each cluster."""

    def __init__(self) -> None:
        self._server = Ed25519PrivateKey.generate()
        self._client = Ed25519PrivateKey.generate()

    def of_server(self) -> Mapping[str, str]:
        """Return what the server holds, as hack/kind/world/git reads it."""
        return {
            "ssh_host_key": _private(self._server),
            "authorized_keys": public(self._client) + "\n",
        }

    def of_client(self, host: str, *, host_key: str = "") -> Mapping[str, str]:
        """Return what a Secret of a CodeExpert holds.

        Args:
            host: name and port of the server, as known_hosts has them.
            host_key: the server's; empty is the right one.
        """
        return {
            "identity": _private(self._client),
            "known_hosts": f"{host} {host_key or public(self._server)}\n",
        }


def public(key: Ed25519PrivateKey) -> str:
    """Return the public half in OpenSSH's format."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _private(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
