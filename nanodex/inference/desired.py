"""What shall be served: the desired set, as a value that can be written to and read from a file.

The agent converges towards this set and knows nothing of who wrote it: `nanodex serve` on one
machine, or a mounted ConfigMap in a cluster.
"""

import os
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from nanodex.api.base import Contract
from nanodex.api.manifest import FileEntry
from nanodex.api.reasons import Reason
from nanodex.errors import UserError

PUBLIC_NAME = r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
# The public name of the base model. No expert can take it: an expert's name holds a slash.
BASE_MODEL_NAME = "base"
# A desired set of 4096 experts with their files stays below this.
_MAX_BYTES = 16 << 20


class ServedExpert(Contract):
    """One version of one expert."""

    name: str = Field(pattern=PUBLIC_NAME, description="Public model name, <namespace>/<name>.")
    digest: str = Field(pattern=DIGEST, description="Digest of the trained artifact.")
    folder: Path = Field(description="Folder that holds adapter_config.json and its companions.")
    files: tuple[FileEntry, ...] = Field(
        default=(),
        max_length=1024,
        description="The files of the artifact's manifest, paths from the artifact's root. When "
        "given, the digest and every adapter file are checked against them before loading; "
        "empty: the caller has just verified the folder.",
    )
    active: bool = Field(
        default=True, description="Whether the bare public name means this version."
    )

    @property
    def short_digest(self) -> str:
        """First 12 hexadecimal digits of the digest."""
        return self.digest.removeprefix("sha256:")[:12]

    @property
    def engine_name(self) -> str:
        """`<namespace>.<name>--<digest12>`: new weights never come under an old name."""
        return f"{self.name.replace('/', '.')}--{self.short_digest}"

    @property
    def pinned_name(self) -> str:
        """`<namespace>/<name>@<digest12>`, the public name of exactly this version."""
        return f"{self.name}@{self.short_digest}"


class DesiredSet(Contract):
    """Everything that shall be served, with a number that grows with each change."""

    generation: int = Field(
        default=0, ge=0, description="Echoed by the agent when it has converged."
    )
    experts: tuple[ServedExpert, ...] = Field(default=(), max_length=4096)

    @model_validator(mode="after")
    def _names_are_unambiguous(self) -> "DesiredSet":
        engine_names = [expert.engine_name for expert in self.experts]
        if len(set(engine_names)) != len(engine_names):
            raise ValueError("the same version of an expert is named twice")
        active = [expert.name for expert in self.experts if expert.active]
        if len(set(active)) != len(active):
            raise ValueError("an expert has two active versions")
        return self


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
