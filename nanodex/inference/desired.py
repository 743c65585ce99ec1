"""The desired set as a file: written by `nanodex serve`, or mounted from a ConfigMap."""

import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from nanodex.api.desired import DesiredSet
from nanodex.api.reasons import Reason
from nanodex.errors import UserError

# A desired set of 8192 versions with their files stays below this.
_MAX_BYTES = 16 << 20


def desired_for(experts: DesiredSet, *, newer_than: DesiredSet | None) -> DesiredSet:
    """`experts` with a generation above that of the set it replaces."""
    generation = newer_than.generation + 1 if newer_than is not None else 1
    return experts.model_copy(update={"generation": generation})


def write_desired(path: Path, desired: DesiredSet) -> None:
    """Replace the file at `path` at once: a reader sees the old set or the new one."""
    write_atomically(path, desired.model_dump_json(indent=1))


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` through a temporary file in the same folder."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_desired(path: Path) -> DesiredSet:
    """Read a desired set.

    Raises:
        UserError: the file is absent, too large or not a desired set.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"cannot read the desired set: {error}",
            reason=Reason.INVALID_INPUT,
            hint="write it with nanodex serve, or mount the ConfigMap that the operator keeps",
        ) from error
    if len(content) > _MAX_BYTES:
        raise UserError(
            f"{path.name} is larger than {_MAX_BYTES} bytes",
            reason=Reason.INVALID_INPUT,
            hint="bind fewer experts to this server",
        )
    try:
        return DesiredSet.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path.name} is not a desired set: {first['msg']} at {first['loc']}",
            reason=Reason.INVALID_INPUT,
            hint="write it with nanodex serve; do not edit it by hand",
        ) from error
