"""Who may serve."""

from nanodex.api.parameters import Arm, EvaluationConfig
from nanodex.api.records import Interval, SetResult, TestSet
from nanodex.evaluation.gate import judge

CONFIG = EvaluationConfig(min_score="0.6")


def result(arm: Arm, mean: float, *, half: float = 0.05) -> SetResult:
    score = Interval(mean=mean, low=mean - half, high=mean + half, questions=100)
    return SetResult(arm=arm, test_set=TestSet.TRAINED, metric="recall", score=score)


def test_an_adapter_that_knows_clearly_more_than_the_base_passes() -> None:
    verdict = judge([result("base", 0.1), result("adapter", 0.9)], CONFIG)
    assert verdict.passed
    assert verdict.score == 0.9


def test_an_adapter_below_the_threshold_does_not() -> None:
    verdict = judge([result("base", 0.1), result("adapter", 0.5)], CONFIG)
    assert not verdict.passed
    assert "0.50 is below 0.60" in verdict.reason


def test_an_adapter_whose_interval_touches_the_bases_does_not() -> None:
    verdict = judge([result("base", 0.7), result("adapter", 0.75)], CONFIG)
    assert not verdict.passed
    assert "base model" in verdict.reason


def test_beating_the_base_can_be_left_out() -> None:
    config = EvaluationConfig(min_score="0.6", must_beat_base=False)
    assert judge([result("base", 0.7), result("adapter", 0.75)], config).passed


def test_without_a_question_about_a_trained_fact_nobody_passes() -> None:
    assert not judge([], CONFIG).passed
