"""What shall be served: the desired set, the contract between who decides and the agents.

The agent converges towards this set and knows nothing of who wrote it: `nanodex serve` on one
machine, or the operator by way of a mounted ConfigMap.
"""

import hashlib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from nanodex.api.base import Contract, Sha256
from nanodex.api.keys import canonical_json
from nanodex.api.manifest import FileEntry

PUBLIC_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
# The public name of the base model. No expert can take it: an expert's name holds a slash.
BASE_MODEL_NAME = "base"


class ServedExpert(Contract):
    """One version of one expert, in a folder of this machine or in the store under `key`."""

    name: str = Field(pattern=PUBLIC_NAME, description="Public model name, <namespace>/<name>.")
    digest: str = Field(pattern=DIGEST, description="Digest of the trained artifact.")
    key: Sha256 | Literal[""] = Field(
        default="", description="Key of the train stage: where the artifact lies in the store."
    )
    folder: Path | None = Field(
        default=None, description="Folder that holds adapter_config.json and its companions."
    )
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
    rank: int = Field(default=0, ge=0, description="LoRA rank; 0: not known before it is read.")
    commit: str = Field(
        default="",
        pattern=r"^([0-9a-f]{40}([0-9a-f]{24})?)?$",
        description="The commit that it learned; told with each answer.",
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.folder is None) == (self.key == ""):
            raise ValueError("exactly one of folder and key must be given")
        return self

    @property
    def scope(self) -> str:
        """The namespace; it owns the artifact, so a name cannot reach into another namespace."""
        return self.name.partition("/")[0]

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
    base_model_revision: str = Field(
        default="",
        max_length=256,
        description="Revision of the base model that each replica serves; empty: what is found.",
    )
    experts: tuple[ServedExpert, ...] = Field(default=(), max_length=8192)

    @model_validator(mode="after")
    def _names_are_unambiguous(self) -> Self:
        engine_names = [expert.engine_name for expert in self.experts]
        if len(set(engine_names)) != len(engine_names):
            raise ValueError("the same version of an expert is named twice")
        active = [expert.name for expert in self.experts if expert.active]
        if len(set(active)) != len(active):
            raise ValueError("an expert has two active versions")
        return self

    @property
    def content_hash(self) -> str:
        """SHA-256 of all but the generation, 64 hexadecimal digits."""
        content = self.model_dump(mode="json", exclude={"generation"}, exclude_defaults=True)
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def encode(self) -> bytes:
        """JSON without spaces and defaults; equal sets give equal bytes."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True))
