"""Says what a starting server waits for: a spinner on a terminal, else a line for each step."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.status import Status

from nanodex.cli.output import errors
from nanodex.pipeline import StopFlag


class Steps:
    """Progress in steps with a name; see nanodex.api.progress."""

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._said = ""
        self._status = Status("starting", console=errors) if errors.is_terminal else None
        if self._status is not None:
            self._status.start()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.stopping

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        """Show the step, with the seconds waited so far where they are known."""
        text = f"{message} ({done}/{total} {unit})"
        if self._status is not None:
            self._status.update(f"{text} {figures.get('seconds', 0):.0f} s")
        elif text != self._said:
            errors.print(text, markup=False)
        self._said = text

    def close(self) -> None:
        """Remove the spinner."""
        if self._status is not None:
            self._status.stop()


@contextmanager
def shown_steps(stop: StopFlag | None = None) -> Iterator[Steps]:
    """Show steps while the block runs; `stop` lets signals end the wait."""
    steps = Steps(stop or StopFlag())
    try:
        yield steps
    finally:
        steps.close()
