"""What is worth training: evenly over predicates and entities, within the budget."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nanodex.api.records import Fact, Predicate, Span
from nanodex.dataset.templates import FAMILIES
from nanodex.dataset.topics import Topic, TopicTable, pick

FAMILY_KEYS = ("location", "calls", "raises")


def topic(family: str, number: int, objects: tuple[str, ...] = ("o",)) -> Topic:
    span = Span(path="a.py", start=0, end=1, line=1)
    return Topic(
        family=FAMILIES[family],
        node=number,
        subject=f"f{number}",
        entity=f"app.f{number}",
        objects=objects,
        answer="",
        facts=tuple(
            Fact(id=f"{family}{number}{o}", subject=f"app.f{number}", predicate=Predicate.CALLS,
                 object=o, span=span, blob="", rule="", conf="1")
            for o in objects
        ),
        usefulness=(0, -number),
    )  # fmt: skip


def everything(entities: int) -> list[Topic]:
    return [topic(family, number) for number in range(entities) for family in FAMILY_KEYS]


def picked(topics: list[Topic], max_facts: int, max_topics: int = 1000) -> list[Topic]:
    return pick(topics, max_facts=max_facts, max_topics=max_topics, partner=lambda _: None)


@given(entities=st.integers(1, 12), max_facts=st.integers(1, 50))
def test_the_budget_is_used_up_and_kept(entities: int, max_facts: int) -> None:
    topics = picked(everything(entities), max_facts)
    assert len(topics) == min(max_facts, 3 * entities)
    assert len({one.key for one in topics}) == len(topics)


def test_predicates_and_entities_take_turns() -> None:
    topics = picked(everything(9), 9)
    assert Counter(one.family.key for one in topics) == dict.fromkeys(FAMILY_KEYS, 3)
    assert max(Counter(one.entity for one in topics).values()) == 1


def test_the_more_useful_entity_comes_first() -> None:
    assert [one.subject for one in picked(everything(9), 3)] == ["f8", "f7", "f6"]


def test_a_topic_counts_all_of_its_facts() -> None:
    topics = [topic("calls", 1, ("a", "b", "c")), topic("raises", 2)]
    assert [one.family.key for one in picked(topics, 2)] == ["raises"]


def test_a_picked_topic_brings_its_second_hop_along() -> None:
    first, second = topic("raises", 9), topic("location", 0)
    others = [topic("location", number) for number in range(1, 9)]
    topics = pick(
        [first, second, *others],
        max_facts=8,
        max_topics=8,
        partner=lambda one: second if one is first else None,
    )
    assert topics.index(second) == topics.index(first) + 1


def test_an_object_of_many_subjects_is_not_asked_in_reverse() -> None:
    few = [topic("raises", number, ("Rare",)) for number in range(3)]
    many = [topic("raises", number, ("Common",)) for number in range(10, 14)]
    table = TopicTable([*few, *many])
    assert table.reversible(few[0], hidden=frozenset()) == "Rare"
    assert table.reversible(many[0], hidden=frozenset()) is None


def test_a_reverse_answer_does_not_name_a_hidden_subject() -> None:
    topics = [topic("raises", number, ("Rare",)) for number in range(3)]
    assert TopicTable(topics).reversible(topics[0], hidden=frozenset({2})) is None
