"""Wordings are dealt evenly, without repetition, in groups that negatives can match."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanodex.dataset.draw import Draw
from nanodex.dataset.templates import FAMILIES
from nanodex.dataset.topics import Topic
from nanodex.dataset.wordings import Deal, deal_wordings


def topic(number: int, family: str = "raises") -> Topic:
    return Topic(
        family=FAMILIES[family],
        node=number,
        subject=f"f{number}",
        entity=f"app.f{number}",
        objects=("Oops",),
        answer=f"`f{number}` raises `Oops`.",
        facts=(),
        usefulness=(0, 0),
    )


def deal(
    count: int, *, forms: int = 8, ratio: float = 0.5, seed: int = 17, reversible: bool = True
) -> dict[str, Deal]:
    topics = [topic(number) for number in range(count)]
    return deal_wordings(
        topics,
        reversible=frozenset(t.key for t in topics) if reversible else frozenset(),
        forms=forms,
        ratio=ratio,
        draw=Draw(seed),
    )


@given(
    count=st.integers(1, 30),
    forms=st.integers(2, 20),
    seed=st.integers(0, 100),
    reversible=st.booleans(),
)
def test_each_topic_gets_its_forms_all_different_and_one_is_left(
    count: int, forms: int, seed: int, reversible: bool
) -> None:
    available = 12 + 5 + (2 if reversible else 0)
    for one in deal(count, forms=forms, seed=seed, reversible=reversible).values():
        assert len(one.train) == len(set(one.train))
        assert len(one.train) >= min(forms, available) - 2
        assert len(one.train) <= forms
        assert one.validation not in one.train
        assert one.validation.shape == "ask"


@pytest.mark.parametrize("forms", [8, 10, 16])
def test_at_most_one_open_wording_has_a_share_that_negatives_cannot_match(forms: int) -> None:
    counts = Counter(t.id for one in deal(40, forms=forms).values() for t in one.train)
    odd = [identity for identity, number in counts.items() if number % 2 and ".ask." in identity]
    assert len(odd) <= 1


def test_most_wordings_are_open_and_one_of_eight_goes_each_other_way() -> None:
    for one in deal(12).values():
        shapes = Counter(template.shape for template in one.train)
        assert shapes["ask"] == 6
        assert shapes["check"] + shapes["choice"] == 1
        assert shapes["reverse"] == 1


def test_reserved_wordings_are_never_dealt() -> None:
    dealt = {t.shape for one in deal(30, forms=20).values() for t in one.train}
    assert "reserved" not in dealt


def test_the_seed_decides() -> None:
    assert deal(9, seed=1) == deal(9, seed=1)
    assert deal(9, seed=1) != deal(9, seed=2)
