"""Every predicate can be asked in many wordings, and the test has wordings of its own."""

from collections import Counter

import pytest

from nanodex.api.records import Predicate
from nanodex.dataset.templates import ATOMIC, FAMILIES, Family, Template, listed

SHAPES = ("ask", "check", "choice", "reverse")


def training(family: Family) -> list[Template]:
    return [template for shape in SHAPES for template in family.templates(shape)]


@pytest.mark.parametrize("family", ATOMIC, ids=lambda family: family.key)
def test_a_fact_can_be_asked_in_sixteen_wordings_and_two_reserved_ones(family: Family) -> None:
    assert len(training(family)) >= 16
    assert len(family.templates("reserved")) >= 3


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.key)
def test_joined_families_have_reserved_wordings_too(family: Family) -> None:
    assert len(family.templates("ask")) >= 6
    assert len(family.templates("reserved")) >= 2


def test_no_two_templates_ask_the_same() -> None:
    texts = Counter(
        " ".join(template.text.casefold().split())
        for family in FAMILIES.values()
        for template in (*training(family), *family.templates("reserved"))
    )
    assert [text for text, number in texts.items() if number > 1] == []


def test_every_predicate_of_the_contract_has_a_family() -> None:
    assert {family.predicate for family in ATOMIC} == set(Predicate)


def test_all_categories_and_genres_are_covered() -> None:
    families = FAMILIES.values()
    assert {family.category for family in families} == {
        "discovery", "explain", "howto", "diagnostics", "composition",
    }  # fmt: skip
    assert {template.genre for family in families for template in training(family)} == {
        "question", "reverse", "cloze", "list", "flow", "comparison", "code",
    }  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.key)
def test_a_template_names_what_it_asks_about(family: Family) -> None:
    for template in (*training(family), *family.templates("reserved")):
        wanted = "{o}" if template.shape == "reverse" else "{s}"
        assert wanted in template.text
        assert "{" not in template.fill(s="S", o="O", x="X")
        assert ("{x}" in template.text) == (template.shape == "choice")


def test_objects_are_listed_as_words() -> None:
    assert listed(("a",), mark="`") == "`a`"
    assert listed(("a", "b", "c"), mark="`") == "`a`, `b` and `c`"
