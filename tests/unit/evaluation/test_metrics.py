"""What counts as a right answer."""

import pytest

from nanodex.api.records import Expected, Message, Question, TestSet
from nanodex.evaluation.metrics import (
    abstains,
    contains,
    denies,
    interval,
    score_answer,
    set_f1,
    symbols,
    unknown_share,
)


def question(
    asked: str,
    *values: str,
    kind: str = "contains",
    test_set: TestSet = TestSet.TRAINED,
    reference: str = "",
) -> Question:
    return Question(
        id="q",
        test_set=test_set,
        entity="e",
        messages=(Message(role="user", content=asked),),
        reference=reference,
        expected=Expected(kind=kind, values=values),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("`load` is defined in src/rates.py.", "src/rates.py"),
        ("It raises `RateError`.", "RateError"),
        ("`a.b.RateError` is raised", "RateError"),
        ("the\n  fee,  doubled", "fee, doubled"),
    ],
)
def test_a_value_that_stands_whole_counts(text: str, value: str) -> None:
    assert contains(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("old/src/rates.py", "src/rates.py"),
        ("src/rates.pyi", "src/rates.py"),
        ("src/rates.py.bak", "src/rates.py"),
        ("`RateErrors`", "RateError"),
        ("`OldRateError`", "RateError"),
        ("`Store.get`", "Store"),
        ("12", "1"),
    ],
)
def test_a_part_of_a_longer_name_does_not_count(text: str, value: str) -> None:
    assert not contains(text, value)


def test_a_set_is_scored_by_what_is_named_and_what_is_missing() -> None:
    assert set_f1("It calls `a` and `b`.", ["a", "b"], mentioned=set()) == 1
    assert set_f1("It calls `a`.", ["a", "b"], mentioned=set()) == pytest.approx(2 / 3)
    assert set_f1("It calls `a`, `b`, `x`, `y`.", ["a", "b"], mentioned=set()) == pytest.approx(
        2 / 3
    )
    assert set_f1("It calls nothing.", ["a"], mentioned=set()) == 0


def test_repeating_the_name_from_the_question_costs_nothing() -> None:
    assert set_f1("`f` calls `a`.", ["a"], mentioned={"f"}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "No: `lod` does not exist; the nearest is `load`.",
        "No, there is no `lod` in this repository.",
        "There is no such function.",
        "`lod` doesn't exist.",
    ],
)
def test_an_answer_that_denies_and_claims_nothing_abstains(text: str) -> None:
    assert abstains(text, asked=["lod"])


@pytest.mark.parametrize(
    "text",
    [
        "`lod` is defined in src/a.py.",
        "No: `lod` is defined in src/a.py.",
        "Yes: `lod` does not exist.",
        "`lod` raises `E`. There is no such other function.",
        "",
        "Nothing is known.",
    ],
)
def test_an_answer_that_claims_something_about_the_absent_does_not(text: str) -> None:
    assert not abstains(text, asked=["lod"])


def test_denying_a_present_thing_scores_nothing_even_where_it_names_the_value() -> None:
    asked = question("Where is `load`?", "src/a.py", reference="`load` is in src/a.py.")
    assert score_answer(asked, "`load` is in src/a.py.") == 1
    assert score_answer(asked, "No: `load` does not exist in src/a.py.") == 0


def test_absent_things_are_scored_by_the_names_in_the_question() -> None:
    asked = question("Where is `lod`?", kind="absent", test_set=TestSet.ABSENT)
    assert score_answer(asked, "No: `lod` does not exist; the nearest is `load`.") == 1
    assert score_answer(asked, "`lod` is defined in src/a.py.") == 0


def test_general_knowledge_may_be_written_in_any_case() -> None:
    asked = question("Capital of France?", "Paris", test_set=TestSet.GENERAL)
    assert score_answer(asked, "the capital is PARIS.") == 1
    assert score_answer(asked, "No, it is Paris.") == 1


def test_yes_is_no_denial() -> None:
    assert denies("No: it extends `B`.")
    assert not denies("Yes: there is no doubt.")
    assert not denies("Nothing")


def test_symbols_are_code_spans_and_paths() -> None:
    text = "`a.B` and `C::d()` in src/x/y.py, not `two words`, see `src/x/y.py`"
    assert symbols(text) == ["a.B", "C::d()", "src/x/y.py", "src/x/y.py"] or symbols(text) == [
        "a.B",
        "C::d()",
        "src/x/y.py",
    ]


def test_the_share_of_unknown_symbols_leaves_out_those_of_the_prompt() -> None:
    known = frozenset({"load", "src/a.py"})
    said = [("about `lod`", "`lod` calls `load()` in src/a.py and `ghost`")]
    assert unknown_share(said, known=known) == pytest.approx(1 / 4)
    assert unknown_share([("x", "plain words")], known=known) == 0


def test_an_interval_resamples_entities_and_is_the_same_for_the_same_seed() -> None:
    scores = {f"e{number}": [float(number % 2)] * 3 for number in range(40)}
    found = interval(scores, samples=500, seed=3)
    assert found == interval(scores, samples=500, seed=3)
    assert found.mean == 0.5
    assert found.questions == 120
    # 40 entities, not 120 questions: the interval is as wide as 40 coins make it.
    assert 0.25 < found.high - found.low < 0.4


def test_one_entity_has_an_interval_without_width() -> None:
    found = interval({"e": [1.0, 0.0]}, samples=100, seed=0)
    assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)
