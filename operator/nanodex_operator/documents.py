"""CodeExperts as documents of the API server: read with suspicion, kept small, written tidily.

The API server accepts what the CRD allows, which need not be what this version understands: another
version of nanodex may have written it. A spec that cannot be read is the user's to correct. A
status that cannot be read loses what cannot be read, and nothing else: it names the active adapter.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from nanodex.api.code_expert import CodeExpert
from nanodex.api.status import CodeExpertStatus, ModelServerStatus
from nanodex_operator.readings import Object, plain

# A round takes one thing away.
_ROUNDS = 200
_NAMED_ERRORS = 3

_log = logging.getLogger(__name__)


class InvalidSpec(Exception):
    """The spec is none that this version understands; the message names the fields."""


@dataclass(frozen=True)
class SeenExpert:
    """A CodeExpert as a watch showed it, in few bytes.

    Attributes:
        namespace: metadata.namespace.
        name: metadata.name.
        uid: metadata.uid.
        generation: metadata.generation.
        resource_version: metadata.resourceVersion.
        deleting: whether it has a deletion timestamp.
        document: name, namespace and spec as JSON.
        status: status as JSON.
        phase: status.phase, whatever it holds.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    document: bytes
    status: bytes
    phase: str


def see_expert(thing: Object) -> SeenExpert:
    """Return what is kept of a CodeExpert."""
    metadata, status = thing["metadata"], thing.get("status") or {}
    names = {"name": metadata["name"], "namespace": metadata["namespace"]}
    return SeenExpert(
        **names,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        resource_version=metadata["resourceVersion"],
        deleting=bool(metadata.get("deletionTimestamp")),
        document=json.dumps({"metadata": names, "spec": thing.get("spec")}).encode(),
        status=json.dumps(status).encode(),
        phase=plain(status.get("phase")),
    )


def read_expert(seen: SeenExpert) -> CodeExpert:
    """Return the CodeExpert.

    Raises:
        InvalidSpec: this version does not understand it.
    """
    try:
        return CodeExpert.model_validate_json(seen.document)
    except ValidationError as error:
        raise InvalidSpec(_in_words(error)) from None


def read_status(seen: SeenExpert) -> CodeExpertStatus:
    """Return the status without what this version does not understand."""
    try:
        return CodeExpertStatus.model_validate_json(seen.status)
    except ValidationError as error:
        _log.warning(
            "%s/%s: of its status is ignored: %s", seen.namespace, seen.name, _in_words(error)
        )
    document = json.loads(seen.status)
    for _ in range(_ROUNDS):
        try:
            return CodeExpertStatus.model_validate_json(json.dumps(document))
        except ValidationError as error:
            # Only the first: without it the places of the others may be new ones.
            _take_away(document, error.errors(include_url=False)[0]["loc"])
    return CodeExpertStatus()


def write_status(status: CodeExpertStatus | ModelServerStatus) -> dict[str, Any]:
    """Return a status as a document, without the fields that are empty by default."""
    return _tidy(status)


def _tidy(model: BaseModel) -> dict[str, Any]:
    whole = model.model_dump(mode="json", by_alias=True)
    document: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value == field.default and not _holds_something(value):
            continue
        alias = field.alias or name
        if isinstance(value, BaseModel):
            document[alias] = _tidy(value)
        elif isinstance(value, tuple):
            document[alias] = [
                _tidy(item) if isinstance(item, BaseModel) else plain_item
                for item, plain_item in zip(value, whole[alias], strict=True)
            ]
        else:
            document[alias] = whole[alias]
    return document


def _holds_something(value: object) -> bool:
    if isinstance(value, BaseModel):
        return any(_holds_something(item) for _, item in value)
    return bool(value) or isinstance(value, bool)


def _in_words(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors[:_NAMED_ERRORS]]
    more = len(errors) - len(said)
    return plain("; ".join(said) + (f"; and {more} more" if more else ""))


def _take_away(document: Any, location: Iterable[int | str]) -> None:
    """Remove the field or list item at a location, or the innermost that exists around it."""
    path = list(_existing(document, location))
    if not path:
        document.clear()
        return
    for step in path[:-1]:
        document = document[step]
    del document[path[-1]]


def _existing(document: Any, location: Iterable[int | str]) -> Iterable[Any]:
    """Yield the steps of a location that lead somewhere; a union adds names of its own."""
    for step in location:
        if isinstance(document, Mapping) and step in document:
            document = document[step]
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return
        yield step
