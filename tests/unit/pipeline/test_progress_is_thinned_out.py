import json

import pytest

from nanodex.api.progress import ProgressReport
from nanodex.api.stages import StageName
from nanodex.errors import Interrupted
from nanodex.pipeline import StageProgress, StopFlag, as_lines, on_terminal
from nanodex.pipeline.figures import figures_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def reports() -> list[ProgressReport]:
    return []


def make(reports, clock, *, stop=None, resumable=True) -> StageProgress:
    return StageProgress(
        StageName.TRAIN,
        stop=stop or StopFlag(),
        sink=reports.append,
        resumable=resumable,
        clock=clock,
    )


def test_ten_reports_a_second_and_the_last_one_always(reports) -> None:
    clock = Clock()
    progress = make(reports, clock)
    for done in range(1, 1001):
        clock.now += 0.001
        progress.update(done, 1000, unit="files")
    assert 10 <= len(reports) <= 12
    assert reports[-1].percent == 100


def test_the_estimate_of_a_resumed_stage_counts_from_where_it_went_on(reports) -> None:
    clock = Clock()
    progress = make(reports, clock)
    progress.update(500, 1000, unit="steps")
    clock.now += 10
    progress.update(600, 1000, unit="steps")
    assert reports[0].eta_seconds is None
    assert reports[1].eta_seconds == 40


def test_a_stage_with_checkpoints_is_told_and_not_interrupted(reports) -> None:
    stop = StopFlag()
    progress = make(reports, Clock(), stop=stop)
    stop.stop()
    progress.update(1, 2, unit="steps")
    assert progress.stopping


def test_a_stage_without_is_interrupted(reports) -> None:
    stop = StopFlag()
    progress = make(reports, Clock(), stop=stop, resumable=False)
    stop.stop()
    with pytest.raises(Interrupted):
        progress.update(1, 2, unit="files")


def report(done: int) -> ProgressReport:
    return ProgressReport(
        stage=StageName.TRAIN, done=done, total=10, unit="steps", message="[red]", figures={"a": 1}
    )


def test_lines_are_json_and_end_with_the_last_report(capsys: pytest.CaptureFixture[str]) -> None:
    with as_lines(StageName.TRAIN) as show:
        for done in (1, 2, 3):
            show(report(done))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in lines] == [1, 3]
    assert lines[1]["percent"] == 30
    assert lines[1]["figures"] == {"a": 1}


def test_a_message_cannot_style_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with on_terminal(StageName.TRAIN) as show:
        show(report(10))
    assert "[red]" in capsys.readouterr().err


def test_figures_are_flat_and_json(reports) -> None:
    figures = figures_of(
        {"a": {"b": 1, "c": {"d": "x"}}, "nan": float("nan"), "list": [1], "none": None, "ok": True}
    )
    assert figures == {"a.b": 1, "a.c.d": "x", "nan": "nan", "ok": True}
