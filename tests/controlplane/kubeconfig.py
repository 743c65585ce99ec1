"""Kubeconfigs of the tests, and the guard that keeps the tests away from every other cluster."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.certificates import KeyPair

# The clusters that are there to be broken.
OURS = ("nanodex-test", "kind-nanodex")


class ForeignContext(Exception):
    """The kubeconfig leads to a cluster that is not a test's."""


def write_kubeconfig(
    path: Path,
    *,
    name: str,
    server: str,
    authority: bytes,
    identity: KeyPair | str,
    namespace: str = "default",
) -> Path:
    """Write a kubeconfig with one context and return its path.

    Args:
        path: Where to; only its owner can read it.
        name: Of the context, after `nanodex-test-`.
        server: URL of the API server.
        authority: Certificate of whom the server's certificate is signed by, in PEM.
        identity: A client certificate, or a bearer token.
        namespace: The context's default.
    """
    context = f"{OURS[0]}-{name}"
    user = (
        {"token": identity}
        if isinstance(identity, str)
        else {
            "client-certificate-data": _encoded(identity.certificate),
            "client-key-data": _encoded(identity.key),
        }
    )
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": context, "user": context, "namespace": namespace},
            }
        ],
        "current-context": context,
    }
    path.touch(mode=0o600)
    # JSON is YAML: no quoting rules to think about.
    path.write_text(json.dumps(config, indent=1))
    return path


def checked_kubeconfig(path: Path) -> dict[str, Any]:
    """Return what a kubeconfig says, once it is sure that it leads to a test's cluster.

    Raises:
        ForeignContext: the current context has another name, or there is none.
    """
    config: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    context = config.get("current-context") if isinstance(config, dict) else None
    if not isinstance(context, str) or not context.startswith(OURS):
        raise ForeignContext(
            f"the tests create, break and delete what they find, and {path} leads to the context "
            f"{context!r}: they run only where its name starts with {' or '.join(OURS)}"
        )
    checked: dict[str, Any] = config
    return checked


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode("ascii")
