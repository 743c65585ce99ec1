"""Which questions are asked."""

from pathlib import Path

import pytest

from nanodex.api.records import Expected, Message, Question, TestSet
from nanodex.errors import UserError
from nanodex.evaluation.test_sets import draw, read_questions, with_context


def question(number: int, test_set: TestSet = TestSet.TRAINED) -> Question:
    return Question(
        id=f"{test_set}-{number}",
        test_set=test_set,
        entity="e",
        messages=(Message(role="system", content="s"), Message(role="user", content="where?")),
        reference="",
        expected=Expected(kind="contains", values=("x",)),
    )


def test_a_draw_keeps_the_order_and_the_limit_of_each_set() -> None:
    questions = [question(n) for n in range(30)] + [question(n, TestSet.GENERAL) for n in range(3)]
    drawn = draw(questions, most=10, seed=1)
    assert len(drawn) == 13
    assert drawn == [q for q in questions if q in drawn]
    assert drawn == draw(questions, most=10, seed=1)
    assert drawn != draw(questions, most=10, seed=2)


def test_another_test_set_does_not_change_a_draw() -> None:
    alone = [question(n) for n in range(30)]
    both = [*alone, *(question(n, TestSet.GENERAL) for n in range(30))]
    trained = [q for q in draw(both, most=5, seed=1) if q.test_set is TestSet.TRAINED]
    assert trained == draw(alone, most=5, seed=1)


def test_context_is_put_before_the_question() -> None:
    messages = with_context(question(1).messages, ["`a` is a function."])
    assert messages[0].content == "s"
    assert messages[1].content == "- `a` is a function.\n\nwhere?"
    assert with_context(messages, []) == messages


def test_a_file_that_holds_no_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"questions\.jsonl"):
        read_questions(tmp_path / "questions.jsonl")
