"""What a stage leaves behind: the manifest of an artifact and its last word.

A manifest is written last; that it exists is the commit. Its digest covers the files alone, so two
runs that produce the same bytes have the same digest whatever led to them.
"""

import hashlib
from typing import Any

from pydantic import Field, model_validator

from nanodex.api.base import Contract, RelativePath, Sha256
from nanodex.api.keys import canonical_json
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName, Task

# What Kubernetes lets a container say.
_LAST_WORD_BYTES = 4096


class FileEntry(Contract):
    """One file of an artifact, named by its content."""

    path: RelativePath = Field(description="Path below the artifact's folder.")
    sha256: Sha256 = Field(description="SHA-256 of the content, in hexadecimal.")
    size: int = Field(ge=0, description="Size in bytes.")


class Manifest(Contract):
    """The commit record of one stage run."""

    manifest_version: int = Field(default=1, description="Version of this format.")
    stage: StageName
    key: Sha256 = Field(description="Key of the run, see nanodex.api.keys.")
    scope: str = Field(description="Namespace that owns the artifact.")
    files: tuple[FileEntry, ...] = Field(min_length=1, description="Sorted by path.")
    upstream: dict[str, str] = Field(default={}, description="Digests that the run read, by stage.")
    parameters: dict[str, Any] = Field(default={}, description="Parameters of the run.")
    metrics: dict[str, Any] = Field(default={}, description="Figures that the stage reported.")
    base_model_revision: str = ""
    image: str = ""

    @model_validator(mode="after")
    def _paths_are_sorted_and_unique(self) -> "Manifest":
        paths = [entry.path for entry in self.files]
        if paths != sorted(set(paths)):
            raise ValueError("files must be sorted by path and named once")
        return self

    @property
    def digest(self) -> str:
        """`sha256:` and the SHA-256 of the canonical JSON of `files`."""
        files = [entry.model_dump(mode="json") for entry in self.files]
        return "sha256:" + hashlib.sha256(canonical_json(files)).hexdigest()

    @property
    def total_size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)


class TerminationMessage(Contract):
    """The last word of a Job; as JSON it fits into Kubernetes' 4096 bytes."""

    stage: Task
    exit_code: ExitCode
    reason: Reason | None = None
    message: str = Field(default="", max_length=1024)
    hint: str = Field(default="", max_length=512)
    digest: str = ""
    key: str = ""
    cached: bool = False
    metrics: dict[str, int | float | str] = Field(default_factory=dict)

    def encode(self) -> bytes:
        """JSON of at most 4096 bytes; what does not fit is dropped, the metrics before any word."""
        text = self._json()
        length = max(len(self.message), len(self.hint))
        while len(text) > _LAST_WORD_BYTES and length:
            # A character takes up to six bytes, so its number says little.
            shorter = {"message": self.message[:length], "hint": self.hint[:length]}
            text = self.model_copy(update={"metrics": {}, **shorter})._json()
            length = length * 3 // 4
        return text

    def _json(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()
