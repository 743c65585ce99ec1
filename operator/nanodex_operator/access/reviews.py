"""Turns a token and model names into reviews of the API server, and their answers into patterns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nanodex.api.access import (
    ASK_RESOURCE,
    ASK_SUBRESOURCE,
    ASK_VERB,
    AccessAnswer,
    AccessQuestion,
)
from nanodex.api.desired import BASE_MODEL_NAME
from nanodex_operator.kinds import Resource
from nanodex_operator.readings import Object

TOKEN_REVIEWS = Resource("authentication.k8s.io/v1", "tokenreviews", "TokenReview")
ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview")
# A list of models asks about namespaces first; what is left is asked one by one, up to here.
_MOST_REVIEWS = 64
_EXPERT = re.compile(r"(?P<namespace>[a-z0-9][-a-z0-9]{0,62})/(?P<name>[a-z0-9][-a-z0-9]{0,39})")
_GROUP = "nanodex.dev"
_EVERYTHING = "*"


class Creates(Protocol):
    """The API server, as far as reviews need it."""

    async def create(self, resource: Resource, manifest: Object, *, namespace: str = "") -> Object:
        """Create an object and return it."""


async def review(
    question: AccessQuestion, *, cluster: Creates, audiences: Sequence[str]
) -> AccessAnswer | None:
    """Return who it is and what they may ask; None: the token is not valid here.

    Args:
        question: of an agent.
        cluster: where to ask.
        audiences: a token must be meant for one of them; none: for the API server itself.

    Raises:
        ClusterError: the API server cannot be asked.
    """
    spec = {"token": question.token, **({"audiences": [*audiences]} if audiences else {})}
    status = await _review(cluster, TOKEN_REVIEWS, spec)
    if status.get("authenticated") is not True:
        return None
    # An authenticator that knows no audiences accepts any token and names none.
    if audiences and not set(audiences) & set(status.get("audiences") or ()):
        return None
    asker = _Asker(status.get("user") or {}, cluster=cluster)
    return AccessAnswer(user=asker.name, patterns=await asker.patterns(question.models))


class _Asker:
    """Somebody whose token was valid."""

    def __init__(self, user: Mapping[str, Any], *, cluster: Creates) -> None:
        self._user = user
        self._cluster = cluster
        self._left = _MOST_REVIEWS

    @property
    def name(self) -> str:
        return str(self._user.get("username", ""))[:1024]

    async def patterns(self, models: Sequence[str]) -> tuple[str, ...]:
        """Return what of `models` may be asked, with as few reviews as possible."""
        bare = dict.fromkeys(model.partition("@")[0] for model in models)
        experts: dict[str, list[str]] = {}
        for match in filter(None, map(_EXPERT.fullmatch, bare)):
            experts.setdefault(match["namespace"], []).append(match["name"])
        # The base model belongs to no namespace: it takes the right on all of them.
        if BASE_MODEL_NAME in bare and await self._may("", ""):
            return (_EVERYTHING,)
        found: list[str] = []
        for namespace, names in sorted(experts.items()):
            if len(names) > 1 and await self._may(namespace, ""):
                found.append(f"{namespace}/*")
                continue
            found += [f"{namespace}/{name}" for name in names if await self._may(namespace, name)]
        return tuple(found)

    async def _may(self, namespace: str, name: str) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        spec = {
            "user": self._user.get("username", ""),
            "uid": self._user.get("uid", ""),
            "groups": self._user.get("groups") or [],
            "extra": self._user.get("extra") or {},
            "resourceAttributes": {
                "verb": ASK_VERB,
                "group": _GROUP,
                "resource": ASK_RESOURCE,
                "subresource": ASK_SUBRESOURCE,
                "namespace": namespace,
                "name": name,
            },
        }
        status = await _review(self._cluster, ACCESS_REVIEWS, spec)
        return status.get("allowed") is True and not status.get("denied")


async def _review(cluster: Creates, resource: Resource, spec: Object) -> Object:
    manifest = {"apiVersion": resource.group_version, "kind": resource.kind, "spec": spec}
    answer = await cluster.create(resource, manifest)
    status: Object = answer.get("status") or {}
    return status
