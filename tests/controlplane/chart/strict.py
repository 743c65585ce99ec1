"""Asks the API server what it thinks of an object, without keeping it."""

from functools import cache
from pathlib import Path
from typing import Any

from tests.controlplane.api import Connection, Object, answer, path


class Strict:
    """Dry runs in which an unknown field, a duplicate or a warning is an error."""

    def __init__(self, kubeconfig: Path) -> None:
        self._http = Connection.from_kubeconfig(kubeconfig).client()
        self._served = cache(self._discover)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self, body: Object, *, namespace: str) -> None:
        """Create an object for show.

        Args:
            body: the object.
            namespace: where it goes if it has a namespace and names none.

        Raises:
            Refused: the API server would not take it.
        """
        resource = self._served(body["apiVersion"])[body["kind"]]
        own = body["metadata"].get("namespace", namespace) if resource["namespaced"] else ""
        response = self._http.post(
            path(f"{body['apiVersion']}/{resource['name']}", namespace=own),
            params={"dryRun": "All", "fieldValidation": "Strict"},
            json=body,
        )
        answer(response)
        warnings = response.headers.get_list("Warning")
        assert not warnings, f"{body['kind']} {body['metadata']['name']}: {warnings}"

    def _discover(self, group_version: str) -> dict[str, dict[str, Any]]:
        prefix = "/api" if group_version == "v1" else "/apis"
        found = answer(self._http.get(f"{prefix}/{group_version}"))
        return {one["kind"]: one for one in found["resources"] if "/" not in one["name"]}
