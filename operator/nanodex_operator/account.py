"""Who the operator is to the API server, and where that is.

The token of a ServiceAccount is read for each request: kubelets replace it, and the client's own
loader would send the old one for another minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from nanodex_operator.refusals import Unavailable

_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Login:
    """Who we are and where, for another client of the same API server."""

    server: str
    ca_path: str | None
    insecure: bool
    scheme: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


class Account:
    """Where the API server is, and what says who asks.

    Args:
        configuration: the client's, see `find`.
        token_file: holds the token of each request; None: the configuration does.
    """

    def __init__(self, configuration: Configuration, *, token_file: Path | None = None) -> None:
        self.configuration = configuration
        self._token_file = token_file

    @classmethod
    async def find(cls, environment: Mapping[str, str], *, mounted: Path = _MOUNTED) -> Self:
        """Return what the file says that KUBECONFIG names, else the Pod's ServiceAccount.

        Raises:
            KeyError: there is neither KUBECONFIG nor a Pod.
        """
        configuration = Configuration()
        if environment.get("KUBECONFIG"):
            await load_kube_config(environment["KUBECONFIG"], client_configuration=configuration)
            return cls(configuration)
        host = environment["KUBERNETES_SERVICE_HOST"]
        host = f"[{host}]" if ":" in host else host
        configuration.host = f"https://{host}:{environment['KUBERNETES_SERVICE_PORT']}"
        configuration.ssl_ca_cert = str(mounted / "ca.crt")
        return cls(configuration, token_file=mounted / "token")

    async def authorization(self) -> str:
        """Return the value of the header; empty where a certificate says who we are.

        Raises:
            Unavailable: the token is missing; the kubelet is about to write it.
        """
        if self._token_file is not None:
            return _bearer(self._token_file)
        found: str | None = await self.configuration.get_api_key_with_prefix("BearerToken")
        return (found or "").strip()

    async def login(self) -> Login:
        """Return the present login, with a token that was just read.

        Raises:
            Unavailable: see `authorization`.
        """
        scheme, _, token = (await self.authorization()).rpartition(" ")
        return Login(
            server=self.configuration.host,
            ca_path=self.configuration.ssl_ca_cert,
            insecure=not self.configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=self.configuration.cert_file,
            private_key_path=self.configuration.key_file,
        )


def _bearer(path: Path) -> str:
    try:
        return f"Bearer {path.read_text().strip()}"
    except OSError as error:
        raise Unavailable(f"the ServiceAccount's token cannot be read: {error}") from error
