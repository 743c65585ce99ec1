"""What a person reads in `kubectl get` and `kubectl describe`."""

import pytest
from nanodex_operator.status.words import advice, said_of, short

from nanodex.api.durations import duration_seconds, duration_text
from nanodex.api.progress import ProgressReport
from nanodex.api.reasons import ConditionReason, Reason
from nanodex.api.stages import StageName
from nanodex.api.status import Failure


@pytest.mark.parametrize(
    ("done", "total", "unit", "message", "said"),
    [
        (120, 480, "steps", "", "step 120/480"),
        (120, 480, "steps", "epoch 1/3", "epoch 1/3, step 120/480"),
        (7, 0, "files", "", "7 files"),
        (0, 0, "", "fetching inputs", "fetching inputs"),
    ],
)
def test_progress(done: int, total: int, unit: str, message: str, said: str) -> None:
    report = ProgressReport(
        stage=StageName.TRAIN, done=done, total=total, unit=unit, message=message
    )
    assert said_of(report) == said


def test_advice_is_what_happened_and_what_to_do() -> None:
    assert advice(Failure(reason="X", message="no such ref", hint="Name one.")) == (
        "no such ref. Name one."
    )
    assert advice(Failure(reason="X", message="", hint="Name one.")) == "Name one."


def test_advice_fits_into_a_condition() -> None:
    assert len(advice(Failure(reason="X", message="m" * 1024, hint="h" * 512))) == 1024


def test_a_digest_is_named_by_its_first_12_digits() -> None:
    assert short("sha256:" + "0123456789abcdef" * 4) == "0123456789ab"


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("45s", 45), ("1m1m", 120), ("", 0)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (40, "40 s"), (840, "14 min"), (5399, "90 min"), (12600, "3.5 h")],
)
def test_durations_are_said(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_reasons_have_a_meaning_and_clash_with_no_failure() -> None:
    assert all(reason.meaning.endswith(".") for reason in ConditionReason)
    assert {reason.value for reason in ConditionReason}.isdisjoint(Reason)
