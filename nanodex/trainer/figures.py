"""What a training run says about itself: metrics for people, and training.json."""

from typing import Any

from nanodex.api.base import Contract
from nanodex.api.parameters import TrainingConfig


class TrainMetrics(Contract):
    """Figures of one training run; times are of this process, after a resume of the rest only."""

    steps: int
    examples: int
    dropped: int
    tokens: int
    seconds: float
    tokens_per_second: float
    loss: float
    held_out_loss: float | None
    trained_parameters: int
    resumed_at: int
    stopped_early: bool
    device: str


class CurvePoint(Contract):
    """One optimizer step: mean loss (nats a learned token), rate and norm of the gradient."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float


class HeldOutPoint(Contract):
    """A look at the held-out examples (nats a token)."""

    step: int
    loss: float


class TrainingRecord(Contract):
    """training.json: how the loss fell. It holds no times, so that equal runs give equal bytes."""

    steps: int
    examples: int
    dropped: int
    epochs: int
    shared_prefix_tokens: int
    curve: tuple[CurvePoint, ...]
    held_out: tuple[HeldOutPoint, ...]


def training_record(
    history: list[dict[str, Any]],
    *,
    examples: int,
    dropped: int,
    config: TrainingConfig,
    prefix: int,
    steps: int,
) -> TrainingRecord:
    """Return training.json from the Trainer's log."""
    return TrainingRecord(
        steps=steps,
        examples=examples,
        dropped=dropped,
        epochs=config.epochs,
        shared_prefix_tokens=prefix,
        curve=tuple(
            CurvePoint(
                step=entry["step"],
                loss=entry["loss"],
                learning_rate=entry["learning_rate"],
                gradient_norm=entry["grad_norm"],
            )
            for entry in history
            if "loss" in entry
        ),
        held_out=tuple(
            HeldOutPoint(step=entry["step"], loss=entry["held_out_loss"])
            for entry in history
            if "held_out_loss" in entry
        ),
    )
