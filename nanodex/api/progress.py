"""How a stage says how far it is; what is done with it is the runner's business."""

from typing import Protocol


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
