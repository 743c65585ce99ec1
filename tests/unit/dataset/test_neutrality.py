"""No wording tells whether what it asks about is there."""

import pytest

from nanodex.api.records import Example, ExampleMeta, Message, Polarity, Predicate
from nanodex.dataset.neutrality import neutral, template_auc, templates_tell
from nanodex.errors import UserError


def example(name: str, *, template: str, polarity: Polarity) -> Example:
    return Example(
        messages=(
            Message(role="system", content="shop@1234567"),
            Message(role="user", content=name),
            Message(role="assistant", content="a"),
        ),
        meta=ExampleMeta(
            id=name,
            category="discovery",
            predicate=Predicate.CALLS,
            polarity=polarity,
            facts=(),
            spans=(),
            template=template,
            genre="question",
            split="train",
        ),
    )


def asked(template: str, *, positives: int, negatives: int) -> list[Example]:
    polarities: list[Polarity] = ["positive"] * positives + ["negative"] * negatives
    return [
        example(f"{template} {number}", template=template, polarity=polarity)
        for number, polarity in enumerate(polarities)
    ]


def test_a_template_that_is_always_denied_is_found_out() -> None:
    examples = asked("where", positives=20, negatives=0) + asked("does", positives=0, negatives=10)
    assert template_auc(examples) == 1.0


def test_a_template_tells_if_it_is_denied_more_often_than_by_chance() -> None:
    leaning = [
        example
        for number in range(20)
        for example in asked(f"t{number}", positives=12, negatives=12 if number % 2 else 2)
    ]
    assert template_auc(leaning) > 0.55
    assert templates_tell(leaning)


def test_what_chance_alone_does_to_a_small_dataset_is_no_leak() -> None:
    small = [
        example
        for number in range(6)
        for example in asked(f"t{number}", positives=5, negatives=2 + 2 * (number % 2))
    ]
    assert template_auc(small) > 0.55
    assert not templates_tell(small)


def test_equal_shares_tell_nothing() -> None:
    examples = asked("where", positives=20, negatives=10) + asked("does", positives=8, negatives=4)
    assert template_auc(examples) == 0.5


def test_rare_templates_are_judged_together() -> None:
    examples = [
        e
        for number in range(10)
        for e in asked(f"t{number}", positives=2, negatives=1 if number % 2 else 0)
    ]
    assert template_auc(examples) == 0.5


def test_a_neutral_dataset_is_left_as_it_is() -> None:
    examples = asked("where", positives=20, negatives=10) + asked("does", positives=8, negatives=4)
    assert neutral(examples) == examples


def test_a_small_dataset_gives_up_the_few_examples_by_which_a_wording_tells() -> None:
    # As three files of Python gave it: few wordings are asked six times, and two of them lean.
    examples = [
        *(e for number in range(80) for e in asked(f"ask{number}", positives=3, negatives=0)),
        *asked("check", positives=2, negatives=6),
        *asked("reverse", positives=4, negatives=2),
        *(e for number in range(10) for e in asked(f"is{number}", positives=2, negatives=1)),
    ]
    assert templates_tell(examples)

    kept = neutral(examples)

    assert not templates_tell(kept)
    assert [e for e in examples if e in kept] == kept
    assert {e.meta.template for e in examples if e not in kept} <= {"check", "reverse"}
    assert len(examples) - len(kept) <= 8


def test_wordings_that_tell_throughout_are_refused() -> None:
    leaning = [
        example
        for number in range(20)
        for example in asked(f"t{number}", positives=12, negatives=12 if number % 2 else 2)
    ]
    with pytest.raises(UserError, match="templates tell the polarity"):
        neutral(leaning)
