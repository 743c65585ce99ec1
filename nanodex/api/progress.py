"""How a stage says how far it is; what is done with it is the runner's business."""

from typing import Protocol

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.stages import StageName


class Progress(Protocol):
    """Receives progress and answers whether to stop."""

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        """Report `done` of `total` units; cheap enough to be called for each."""

    @property
    def stopping(self) -> bool:
        """Whether the stage was asked to stop (SIGTERM, Ctrl-C); it then saves and raises."""


class Silent:
    """Progress that nobody reads."""

    stopping = False

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        """Do nothing."""


class ProgressReport(Contract):
    """progress.json of a stage: how far it was when it was last seen."""

    stage: StageName
    done: int = Field(ge=0, description="Units done.")
    total: int = Field(ge=0, description="Units in all; 0 where it is not known.")
    unit: str = Field(description="What is counted, for instance files or steps.")
    message: str = ""
    eta_seconds: int | None = Field(
        default=None, description="Estimated seconds to the end; null until it can be said."
    )
    figures: dict[str, float] = Field(default={}, description="Figures at this point, e.g. loss.")

    @property
    def percent(self) -> int:
        """Share that is done, 0 to 100, rounded down."""
        return min(100, self.done * 100 // self.total) if self.total else 0
