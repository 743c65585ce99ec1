"""Which facts a small shop gives, and which it must not give."""

from collections import Counter

import pytest

from nanodex.dataset.builder import collect_topics
from nanodex.dataset.facts import FactCollector, first_sentence
from nanodex.dataset.topics import Topic


@pytest.fixture(scope="module")
def topics(collector: FactCollector) -> dict[tuple[str, str], Topic]:
    table = collect_topics(collector, Counter())
    return {(topic.family.key, topic.subject): topic for topic in table.topics}


@pytest.mark.parametrize(
    ("family", "subject", "objects", "answer"),
    [
        ("location", "checkout", ["shop/basket.py"], "`checkout` is defined in shop/basket.py."),
        ("kind", "EmptyBasket", ["exception"], "`EmptyBasket` is of kind exception."),
        (
            "signature",
            "wrapping_cents",
            ["def wrapping_cents() -> int"],
            "`wrapping_cents` has the signature `def wrapping_cents() -> int`.",
        ),
        ("parameter", "checkout", ["basket"], "`checkout` takes `basket`."),
        ("returns", "checkout", ["str"], "`checkout` returns `str`."),
        ("value", "STANDARD_DISCOUNT", ["15"], "`STANDARD_DISCOUNT` is `15`."),
        (
            "calls",
            "GiftBasket.total_cents",
            ["Basket.total_cents", "wrapping_cents"],
            "`GiftBasket.total_cents` calls `Basket.total_cents` and `wrapping_cents`.",
        ),
        (
            "called_by",
            "wrapping_cents",
            ["GiftBasket.total_cents"],
            "`wrapping_cents` is called by `GiftBasket.total_cents`.",
        ),
        (
            "raises",
            "voucher_percent",
            ["UnknownVoucher"],
            "`voucher_percent` raises `UnknownVoucher`.",
        ),
        (
            "condition",
            "Basket.total_cents",
            ["not self.cents"],
            "`Basket.total_cents` fails if `not self.cents`.",
        ),
        (
            "message",
            "Basket.total_cents",
            ["the basket is empty"],
            '`Basket.total_cents` fails with "the basket is empty".',
        ),
        ("extends", "GiftBasket", ["Basket"], "`GiftBasket` extends `Basket`."),
        (
            "overrides",
            "GiftBasket.total_cents",
            ["Basket.total_cents"],
            "`GiftBasket.total_cents` overrides `Basket.total_cents`.",
        ),
        (
            "imports",
            "shop.basket",
            ["shop.errors", "shop.prices"],
            "`shop.basket` imports `shop.errors` and `shop.prices`.",
        ),
        (
            "docstring",
            "voucher_percent",
            ["Return the discount of a voucher in percent"],
            "`voucher_percent`: Return the discount of a voucher in percent.",
        ),
        (
            "tested_by",
            "checkout",
            ["test_checkout_pays"],
            "`checkout` is tested by `test_checkout_pays`.",
        ),
        (
            "usage",
            "voucher_percent",
            ['voucher_percent("SPRING")'],
            '`voucher_percent` is used like this: `voucher_percent("SPRING")`',
        ),
        (
            "reads_env",
            "known_vouchers",
            ["SHOP_VOUCHERS"],
            "`known_vouchers` reads `SHOP_VOUCHERS`.",
        ),
    ],
)
def test_the_source_proves(
    topics: dict[tuple[str, str], Topic],
    family: str,
    subject: str,
    objects: list[str],
    answer: str,
) -> None:
    topic = topics[family, subject]
    assert sorted(topic.objects) == objects
    assert topic.answer == answer


def test_every_fact_names_the_file_that_holds_its_span(
    collector: FactCollector, topics: dict[tuple[str, str], Topic]
) -> None:
    for topic in topics.values():
        for fact in topic.facts:
            assert fact.blob == collector.graph.files[fact.span.path].blob


def test_nobody_is_asked_about_tests_dunders_or_what_returns_nothing(
    topics: dict[tuple[str, str], Topic],
) -> None:
    subjects = {subject for _, subject in topics}
    assert not [subject for subject in subjects if "test_" in subject or "__" in subject]
    assert ("returns", "Basket.add_item") not in topics


def test_raising_an_error_is_no_call(topics: dict[tuple[str, str], Topic]) -> None:
    assert ("called_by", "EmptyBasket") not in topics
    assert "EmptyBasket" not in topics["calls", "Basket.total_cents"].objects


def test_a_secret_is_dropped_and_counted(collector: FactCollector) -> None:
    dropped: Counter[str] = Counter()
    table = collect_topics(collector, dropped)
    assert dropped["Secret"] == 1
    assert not any("ghp_" in an_object for topic in table.topics for an_object in topic.objects)


def test_the_first_sentence_is_that_of_the_first_paragraph() -> None:
    assert first_sentence("Weigh it.\nThen stop.\n\nMore.") == "Weigh it."
