from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from nanodex.api.records import EvaluationReport, Interval, SetResult, TestSet
from nanodex.errors import UserError


def test_the_page_names_repository_model_and_verdict(run: Any) -> None:
    page = run.page()
    for text in ("parcelry", "bundled://tiny", "LoRA rank 16", "Passed the gate"):
        assert text in page


def test_a_run_that_failed_the_gate_says_why(
    run: Any, make_evaluation: Callable[..., BaseModel]
) -> None:
    run.write("evaluate/evaluation.json", make_evaluation(passed=False, reason="below 0.90"))
    assert "Did not pass the gate: below 0.90" in run.page()


def test_scores_stand_with_their_intervals(run: Any) -> None:
    page = run.page()
    for text in ("87.5 %", "0.875", "0.835 to 0.915", "0.010 to 0.090", "50.0 %"):
        assert text in page


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("recall", "(recall; scale 0 to 1)"),
        ("over-refusal", "(over-refusal, lower is better; scale 0 to 1)"),
        ("loss", "(loss, lower is better; scale 0 to 2.5)"),
    ],
)
def test_a_metric_says_which_way_is_better_and_how_long_its_scale_is(
    run: Any, metric: str, said: str
) -> None:
    high = 2.5 if metric == "loss" else 1.0
    score = Interval(mean=high / 2, low=0.0, high=high, questions=3)
    result = SetResult(arm="base", test_set=TestSet.HELD_OUT, metric=metric, score=score)
    run.write(
        "evaluate/evaluation.json",
        EvaluationReport(results=(result,), unknown_symbols={}, passed=True, score=0.5),
    )
    assert said in run.page()


def test_every_relationship_has_its_rules_and_what_stayed_open(run: Any) -> None:
    page = run.page()
    for relationship in ("calls", "imports", "defines", "raises", "extends"):
        assert f"<b>{relationship}</b>" in page
    for meaning in ("module", "error", "capability"):
        assert f"<td>{meaning}</td>" in page


def test_files_are_counted_by_language_and_reason(run: Any) -> None:
    page = run.page()
    assert "<b>python</b>" in page
    assert "of 24 files parsed" in page
    assert page.count("notes") == 0  # counted, not listed


def test_the_same_answers_are_shown_for_both_arms(run: Any) -> None:
    page = run.page()
    question = run.questions()[0]
    assert "Answers side by side" in page
    assert 'arm-base">base<' in page
    assert 'arm-adapter">adapter<' in page
    assert question.test_set in page


def test_the_loss_is_drawn(run: Any) -> None:
    page = run.page()
    assert 'class="train" points="280,' in page
    assert "Loss over 3 steps, from 3 to 1" in page
    assert page.count("<circle") >= 1


def test_a_long_training_stays_a_small_drawing(
    run: Any, make_training: Callable[..., BaseModel]
) -> None:
    short = len(run.page())
    run.write("train/training.json", make_training(3.0 / step for step in range(1, 20_001)))
    assert len(run.page()) < short + 8000


@pytest.mark.parametrize("losses", [[], [0.0], [2.5], [float("nan"), 1.0], [1e9, 1e-9]])
def test_any_loss_can_be_drawn(
    run: Any, make_training: Callable[..., BaseModel], losses: list[float]
) -> None:
    # JSON has no NaN: pydantic writes null for it, and the page then says what is wrong.
    run.write("train/training.json", make_training(losses))
    if any(loss != loss for loss in losses):
        with pytest.raises(UserError, match=r"training\.json"):
            run.page()
    else:
        assert "Training" in run.page()


def test_the_page_is_the_same_without_the_folder_of_the_extract_stage(run: Any) -> None:
    assert run.page(extract=False) == run.page()


def test_equal_artifacts_give_equal_bytes(run: Any) -> None:
    assert run.page() == run.page()
    assert [path.name for path in (run.root / "pages").iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "name",
    [
        "brain/graph.sqlite", "brain/nodes.jsonl", "dataset/dataset.json", "dataset/train.jsonl",
        "dataset/questions.jsonl", "train/training.json", "train/adapter/nanodex.json",
        "evaluate/evaluation.json", "evaluate/answers.jsonl",
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [None, b'{"not": "ours"}\n'])
def test_an_artifact_that_is_missing_or_broken_is_named(
    run: Any, name: str, content: bytes | None
) -> None:
    path = run.root / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=path.name) as caught:
        run.page()
    assert caught.value.hint
    assert not (run.root / "pages").exists()
