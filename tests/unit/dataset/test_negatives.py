"""Absent names nearly exist, are proven absent, and are given out once."""

import re
from collections import Counter

import pytest

from nanodex.dataset.builder import collect_topics
from nanodex.dataset.draw import Draw
from nanodex.dataset.facts import FactCollector
from nanodex.dataset.negatives import Absentees
from nanodex.dataset.topics import Topic, TopicTable


@pytest.fixture(scope="module")
def table(collector: FactCollector) -> TopicTable:
    return collect_topics(collector, Counter())


@pytest.fixture
def absentees(collector: FactCollector, table: TopicTable) -> Absentees:
    return Absentees(
        collector.graph,
        contents=collector.contents,
        names=collector.names,
        table=table,
        draw=Draw(17),
    )


def find(table: TopicTable, family: str, subject: str) -> Topic:
    return next(t for t in table.topics if (t.family.key, t.subject) == (family, subject))


def source(collector: FactCollector) -> set[str]:
    files = collector.graph.files.values()
    texts = [collector.graph.content(f.path).decode() for f in files if f.content is not None]
    return {word.casefold() for text in texts for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("label", ["checkout", "EmptyBasket", "STANDARD_DISCOUNT"])
def test_an_invented_name_stands_nowhere_in_the_source_and_looks_like_its_model(
    collector: FactCollector, absentees: Absentees, label: str
) -> None:
    known = source(collector)
    invented = [absentees.like(label, number) for number in range(15)]
    names = [name for name in invented if name is not None]
    assert len(names) >= 5
    assert not {name.casefold() for name in names} & known
    assert all(name.isupper() == label.isupper() for name in names)


def test_no_name_is_given_out_twice(absentees: Absentees) -> None:
    names = [absentees.like("voucher_percent", number) for number in range(40)]
    found = [name.casefold() for name in names if name is not None]
    assert len(found) == len(set(found))


def test_a_method_of_another_class_is_absent_only_where_no_base_has_it(
    collector: FactCollector, absentees: Absentees
) -> None:
    invented = {absentees.like("GiftBasket.total_cents", number) for number in range(60)}
    # GiftBasket inherits add_item, so that name must never be called absent.
    assert "GiftBasket.add_item" not in invented
    assert "GiftBasket.total_cents" not in invented


def test_a_phrase_changes_by_one_word(absentees: Absentees) -> None:
    phrase = "the basket is empty"
    invented = absentees.like_text(phrase)
    assert invented is not None
    assert invented != phrase
    assert len(set(invented.split()) - set(phrase.split())) == 1


def test_a_path_keeps_its_folder(absentees: Absentees) -> None:
    invented = absentees.like_text("shop/basket.py")
    assert invented is not None
    assert invented.startswith("shop/")
    assert invented != "shop/basket.py"


def test_the_nearest_name_shares_most_words_and_the_style(absentees: Absentees) -> None:
    assert absentees.nearest("voucher_rate", base="voucher_percent") == "voucher_percent"
    assert absentees.nearest("EmptyVoucher", base="EmptyBasket") in (
        "EmptyBasket",
        "UnknownVoucher",
    )


def test_a_false_object_is_one_of_the_family_that_the_subject_does_not_have(
    table: TopicTable, absentees: Absentees
) -> None:
    topic = find(table, "raises", "voucher_percent")
    assert absentees.false_object(topic) == "EmptyBasket"


def test_what_cannot_be_disproven_is_not_denied(table: TopicTable, absentees: Absentees) -> None:
    topic = find(table, "called_by", "voucher_percent")
    assert absentees.false_object(topic) is None
