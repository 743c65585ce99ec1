"""CodeExperts as kubectl prints them; a cluster may run another version than this laptop."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from nanodex.api.code_expert import CodeExpertSpec
from nanodex.api.reasons import Reason
from nanodex.api.status import CodeExpertStatus
from nanodex.errors import UserError
from nanodex.kubectl.client import Kubectl, Object

CODE_EXPERTS = "codeexperts.nanodex.dev"
_NAME = re.compile(r"((?P<namespace>[a-z0-9][-a-z0-9]{0,62})/)?(?P<name>[a-z0-9][-a-z0-9]{0,39})")


@dataclass(frozen=True, kw_only=True)
class Expert:
    """One CodeExpert of a cluster.

    Attributes:
        namespace: metadata.namespace.
        name: metadata.name.
        uid: metadata.uid.
        spec: what is wanted; fields that this version does not know are left out.
        status: what is; fields that this version does not know are left out.
    """

    namespace: str
    name: str
    uid: str
    spec: CodeExpertSpec
    status: CodeExpertStatus

    @property
    def model(self) -> str:
        """The public model name, `<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"


def find_expert(kubectl: Kubectl, name: str) -> Expert:
    """Return the expert `name`, or `namespace/name`.

    Raises:
        UserError: there is none, it cannot be read, or there is no right to.
        TryAgain: the API server cannot be reached.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(
            f"{name!r:.80} is no expert's name",
            reason=Reason.INVALID_INPUT,
            hint="write NAME or NAMESPACE/NAME as `kubectl nanodex status` shows it",
        )
    found = kubectl.get(CODE_EXPERTS, match["name"], namespace=match["namespace"] or "")
    return _read(found)


def list_experts(kubectl: Kubectl, *, everywhere: bool) -> list[Expert]:
    """Return the experts of the namespace, or of all namespaces.

    Raises:
        UserError: there is no right to, or one cannot be read.
        TryAgain: the API server cannot be reached.
    """
    return [_read(one) for one in kubectl.get_all(CODE_EXPERTS, everywhere=everywhere)]


def change(kubectl: Kubectl, expert: Expert, patch: Mapping[str, Any]) -> None:
    """Merge fields into the spec of `expert`, unless it was exchanged for another one meanwhile.

    Raises:
        UserError: it is gone, the fields are wrong, or there is no right to.
        TryAgain: the API server cannot be reached.
    """
    kubectl.merge(CODE_EXPERTS, expert.name, patch, uid=expert.uid, namespace=expert.namespace)


def _read(found: Object) -> Expert:
    metadata = found["metadata"]
    try:
        return Expert(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            spec=CodeExpertSpec.model_validate(found["spec"], extra="ignore"),
            status=CodeExpertStatus.model_validate(found.get("status") or {}, extra="ignore"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{metadata['namespace']}/{metadata['name']} cannot be read: {place}: {first['msg']}",
            reason=Reason.INVALID_INPUT,
            hint="use the version of nanodex that the cluster runs",
        ) from error
