"""Shows progress: a bar on a terminal, a JSON line now and then elsewhere."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from nanodex.api.progress import ProgressReport
from nanodex.api.stages import StageName
from nanodex.pipeline.signals import StopFlag

# Receives reports, at most ten a second.
Sink = Callable[[ProgressReport], None]
# Opens the display of one stage.
Display = Callable[[StageName], AbstractContextManager[Sink]]

_LINE_SECONDS = 5.0
_REPORT_SECONDS = 0.1


class StageProgress:
    """What a stage sees as its `Progress`: thins its updates out and hands them on.

    Args:
        stage: whose progress.
        stop: answers `stopping`.
        sink: receives reports.
        resumable: whether the stage saves a checkpoint by itself when it is asked to stop; one that
            does not is stopped in its next `update`.
        clock: monotonic seconds, for tests.
    """

    def __init__(
        self,
        stage: StageName,
        *,
        stop: StopFlag,
        sink: Sink,
        resumable: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._stop = stop
        self._sink = sink
        self._resumable = resumable
        self._clock = clock
        self._last = float("-inf")
        self._first: tuple[float, int] | None = None

    @property
    def stopping(self) -> bool:
        """Whether the stage was asked to stop."""
        return self._stop.stopping

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        """Report `done` of `total` units.

        Raises:
            Interrupted: the stage was asked to stop and has nothing to save.
        """
        if not self._resumable:
            self._stop.check()
        now = self._clock()
        if now - self._last < _REPORT_SECONDS and done < total:
            return
        self._last = now
        if self._first is None or done < self._first[1]:
            self._first = (now, done)
        self._sink(
            ProgressReport(
                stage=self._stage,
                done=done,
                total=total,
                unit=unit,
                message=message,
                eta_seconds=self._eta(now, done=done, total=total),
                figures=figures,
            )
        )

    def _eta(self, now: float, *, done: int, total: int) -> int | None:
        # The rate since the first report: a resumed stage does not start at zero.
        assert self._first is not None
        start, before = self._first
        if done <= before or now - start < 1:
            return None
        return round((now - start) / (done - before) * max(0, total - done))


@contextmanager
def hidden(stage: StageName) -> Iterator[Sink]:
    """Show nothing."""
    yield lambda report: None


def shown() -> Display:
    """Return the display that fits standard error: bars on a terminal, JSON lines elsewhere."""
    return on_terminal if sys.stderr.isatty() else as_lines


@contextmanager
def on_terminal(stage: StageName) -> Iterator[Sink]:
    """Show one bar on standard error; it stays when the stage is over."""
    bars = Bars(
        TextColumn(f"{stage.value:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("[dim]{task.fields[note]}", markup=True),
        console=Console(stderr=True),
    )
    with bars:
        task = bars.add_task(stage.value, total=None, unit="", note="")

        def show(report: ProgressReport) -> None:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in report.figures.items())
            # A message may hold a file name of a stranger's repository: no markup in it.
            note = "  ".join(filter(None, (figures, report.message))).replace("[", "\\[")
            bars.update(
                task,
                completed=report.done,
                total=report.total or None,
                unit=report.unit,
                note=note,
            )

        yield show


@contextmanager
def as_lines(stage: StageName) -> Iterator[Sink]:
    """Write a JSON line to standard error every five seconds, and the last report at the end."""
    last = float("-inf")
    unsaid: ProgressReport | None = None

    def show(report: ProgressReport) -> None:
        nonlocal last, unsaid
        unsaid = report
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            unsaid = None
            _write_line(report)

    yield show
    if unsaid is not None:
        _write_line(unsaid)


def _write_line(report: ProgressReport) -> None:
    fields = report.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    sys.stderr.write(json.dumps({"event": "progress", "percent": report.percent, **fields}) + "\n")
    sys.stderr.flush()
