"""Decides whether an adapter may serve."""

from collections.abc import Sequence
from typing import NamedTuple

from nanodex.api.parameters import Arm, EvaluationConfig
from nanodex.api.records import Interval, SetResult, TestSet


class Verdict(NamedTuple):
    """Whether the adapter passed, its score, and why not."""

    passed: bool
    score: float
    reason: str


def judge(results: Sequence[SetResult], config: EvaluationConfig) -> Verdict:
    """Return the verdict on the arm `adapter` from its recall of trained facts (T1)."""
    adapter = _trained(results, "adapter")
    if adapter is None:
        return Verdict(False, 0.0, "no question about a trained fact was asked")
    least = float(config.min_score)
    if adapter.mean < least:
        return Verdict(False, adapter.mean, f"recall {adapter.mean:.2f} is below {least:.2f}")
    base = _trained(results, "base")
    if config.must_beat_base and base is not None and adapter.low <= base.high:
        return Verdict(
            False,
            adapter.mean,
            f"recall is not clearly above the base model's: {adapter.low:.2f} to "
            f"{adapter.high:.2f} against {base.low:.2f} to {base.high:.2f}",
        )
    return Verdict(True, adapter.mean, "")


def _trained(results: Sequence[SetResult], arm: Arm) -> Interval | None:
    for result in results:
        if result.arm == arm and result.test_set is TestSet.TRAINED:
            return result.score
    return None
