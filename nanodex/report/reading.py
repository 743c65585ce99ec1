"""Reads the records of artifact folders; what does not fit the contract is an error with a hint."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from nanodex.api.reasons import Reason
from nanodex.errors import UserError

Record = TypeVar("Record", bound=BaseModel)

# A record is a few kilobytes; a line beyond this is not one of ours.
_MAX_LINE = 1 << 24


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the JSON file at `path` as a `kind`.

    Raises:
        UserError: the file is missing or no such record.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error.strerror or "") from error
    except ValidationError as error:
        raise _unreadable(path, _first(error)) from error


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Yield the lines of the JSONL file at `path` as `kind`.

    Raises:
        UserError: the file is missing, or a line is no such record.
    """
    try:
        with path.open("rb") as lines:
            number = 0
            while line := lines.readline(_MAX_LINE):
                number += 1
                try:
                    yield kind.model_validate_json(line)
                except ValidationError as error:
                    raise _unreadable(path, f"line {number}: {_first(error)}") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or "") from error


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {problem['msg']}" if field else problem["msg"]


def _unreadable(path: Path, what: str) -> UserError:
    return UserError(
        f"the report cannot read {path}: {what}",
        reason=Reason.INVALID_INPUT,
        hint="name the folders of complete artifacts, as `nanodex run` leaves them",
    )
