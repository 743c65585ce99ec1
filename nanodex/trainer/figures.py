"""What a training run says about itself: metrics for people, and training.json."""

from typing import Any

from nanodex.api.base import Contract
from nanodex.api.parameters import TrainingConfig
from nanodex.api.records import CurvePoint, HeldOutPoint, TrainingRecord


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
