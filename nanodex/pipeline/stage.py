"""What a stage is: parameters and input artifacts in, files out, figures returned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nanodex.api.base import Contract
from nanodex.api.progress import Progress
from nanodex.api.stages import StageName

Params = TypeVar("Params", bound=Contract, contravariant=True)
Metrics = Mapping[str, int | float | str]


@dataclass(frozen=True)
class Inputs:
    """What a stage may read."""

    # Folder of each upstream artifact, every file verified.
    artifacts: Mapping[StageName, Path] = field(default_factory=dict)
    # Checked-out source; extract alone has one.
    checkout: Any = None
    # Folder of the base model, ready for transformers and vLLM; train and evaluate have one.
    base_model: Path | None = None
    # Where a stage keeps what helps it to go on after a stop (train); the runner mirrors it to the store.
    checkpoints: Path | None = None
    # Cache that may be lost at any time (parse records, converted models).
    cache: Path | None = None


class Stage(Protocol[Params]):
    """A step of the pipeline; deterministic given its key."""

    name: StageName

    def run(self, params: Params, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
        """Write the stage's files below `out` and return figures for people and status.

        Raises:
            UserError, NotServable, TryAgain: see nanodex.errors.
            Interrupted: `progress.stopping` was seen and a checkpoint was saved.
        """
