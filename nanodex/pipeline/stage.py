"""What a stage is: input artifacts in, files out, figures returned.

A stage holds exactly the parameters that enter its key (`nanodex.pipeline.keys`), so it cannot read
what it was not keyed by. Everything around it (key, cache, inputs, publication, signals, exit code)
is the runner's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from nanodex.api.progress import Progress
from nanodex.api.stages import StageName
from nanodex.models import BaseModel as LanguageModel
from nanodex.source.checkout import Checkout

# What stages return: a model or a mapping of figures.
Metrics = BaseModel | Mapping[str, Any]


class Need(Enum):
    """What a stage wants beside the artifacts of the stages before it."""

    CHECKOUT = auto()
    TOKENIZER = auto()
    BASE_MODEL = auto()
    CHECKPOINTS = auto()


@dataclass(frozen=True)
class Inputs:
    """What a stage may read.

    Attributes:
        artifacts: folder of each upstream artifact, every file verified.
        cache: folder that may be lost at any time, for instance with parse records.
        checkout: the source, for a stage with `Need.CHECKOUT`.
        tokenizer: tokenizer.json of the base model, for a stage with `Need.TOKENIZER`.
        base_model: the base model on this machine, for a stage with `Need.BASE_MODEL`.
        checkpoints: folder of the stage's checkpoints `step-N/`, for a stage with
            `Need.CHECKPOINTS`; what lies there is from this key's run.
    """

    artifacts: Mapping[StageName, Path]
    cache: Path
    checkout: Checkout | None = None
    tokenizer: Path | None = None
    base_model: LanguageModel | None = None
    checkpoints: Path | None = None


class Stage(Protocol):
    """A step of the pipeline; deterministic given its key."""

    @property
    def name(self) -> StageName:
        """Which one."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it wants beside the artifacts of the stages before it."""

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write the stage's files (`nanodex.api.stages.FILES`) into the empty folder `out`.

        Returns:
            Figures for people and for the status.

        Raises:
            UserError, NotServable, TryAgain: see nanodex.errors.
            Interrupted: `progress.stopping` was seen, and a checkpoint saved where there are any.
        """
