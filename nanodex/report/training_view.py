"""What the page says about the training: figures, and the loss curve as points of a drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from nanodex.api.records import TrainingRecord

# More points than the drawing has pixels would only make the page larger.
_MAX_POINTS = 360

_WIDTH, _HEIGHT = 760.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 30.0


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in pixels of the drawing."""

    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A drawing of the loss: lines as SVG points, dots as pairs, axes as ticks."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    top: float
    line: str
    dots: tuple[tuple[float, float], ...]
    held_out_line: str
    steps: tuple[Tick, ...]
    losses: tuple[Tick, ...]


@dataclass(frozen=True)
class TrainingView:
    """The training in numbers and as a drawing; `curve` is None where no step was recorded."""

    record: TrainingRecord
    first_loss: float | None
    last_loss: float | None
    best_held_out: float | None
    peak_rate: float | None
    curve: Curve | None


def view_training(record: TrainingRecord) -> TrainingView:
    """Draw the curve and pick the figures out of it."""
    points = [(p.step, p.loss) for p in record.curve if isfinite(p.loss)]
    held_out = [(p.step, p.loss) for p in record.held_out if isfinite(p.loss)]
    return TrainingView(
        record=record,
        first_loss=points[0][1] if points else None,
        last_loss=points[-1][1] if points else None,
        best_held_out=min((loss for _, loss in held_out), default=None),
        peak_rate=max((p.learning_rate for p in record.curve), default=None),
        curve=draw_curve(points, held_out=held_out) if points else None,
    )


def draw_curve(
    points: Sequence[tuple[int, float]], *, held_out: Sequence[tuple[int, float]]
) -> Curve:
    """Lay the losses out; the vertical axis starts at zero, so that heights can be compared.

    Args:
        points: (step, loss) of the training, at least one, rising steps.
        held_out: the same of the held-out examples; may be empty.
    """
    thinned = _thin(points)
    last_step = max(step for step, _ in [*points, *held_out])
    highest = max([loss for _, loss in [*thinned, *held_out]] + [1e-6])
    loss_marks = _round_marks(highest)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(step: float, loss: float) -> tuple[float, float]:
        x = _LEFT + (right - _LEFT) * step / max(last_step, 1)
        y = bottom - (bottom - _TOP) * max(loss, 0.0) / loss_marks[-1]
        return round(x, 1), round(y, 1)

    def line(values: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in (place(*value) for value in values))

    return Curve(
        width=_WIDTH, height=_HEIGHT, left=_LEFT, right=right, bottom=bottom, top=_TOP,
        line=line(thinned),
        dots=tuple(place(*value) for value in held_out),
        held_out_line=line(held_out),
        steps=tuple(
            Tick(place(mark, 0)[0], f"{mark:g}")
            for mark in _round_marks(last_step)
            if mark <= last_step and mark == int(mark)
        ),
        losses=tuple(Tick(place(0, mark)[1], f"{mark:g}") for mark in loss_marks),
    )  # fmt: skip


def _thin(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Return at most `_MAX_POINTS` points, each the mean of its neighbours."""
    size = ceil(len(points) / _MAX_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(step for step, _ in group) / len(group), sum(loss for _, loss in group) / len(group))
        for group in groups
    ]


def _round_marks(highest: float) -> list[float]:
    """Return four to eight round numbers from 0 to at least `highest`."""
    magnitude = 10.0 ** floor(log10(highest))
    step = next(s * magnitude for s in (0.2, 0.25, 0.5, 1.0, 2.0) if s * magnitude * 6 >= highest)
    count = ceil(highest / step - 1e-9)
    return [round(index * step, 10) for index in range(count + 1)]
