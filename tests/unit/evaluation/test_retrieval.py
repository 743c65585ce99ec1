"""Finding the nodes that a question is about."""

from nanodex.api.records import NodeRecord, NodeType
from nanodex.evaluation.retrieval import Index


def node(number: int, name: str) -> NodeRecord:
    return NodeRecord(
        id=number,
        qualified_name=name,
        kind="function",
        type=NodeType.CONCEPT,
        rule="rest",
        evidence="",
        summary=f"about {name}",
    )


INDEX = Index(
    [
        node(1, "shop.rates.load_rates"),
        node(2, "shop.rates.RateTable"),
        node(3, "shop.rates.RateTable.find"),
        node(4, "shop.depots.open_depot"),
    ]
)


def found(question: str, limit: int = 2) -> list[str]:
    return [node.qualified_name for node in INDEX.find(question, limit=limit)]


def test_a_name_that_stands_in_the_question_comes_first() -> None:
    assert found("Where is `RateTable` defined?")[0] == "shop.rates.RateTable"
    assert found("What does `RateTable.find` return?")[0] == "shop.rates.RateTable.find"


def test_words_of_a_name_find_it_in_any_spelling() -> None:
    assert found("How do I open a depot?")[0] == "shop.depots.open_depot"


def test_unrelated_questions_find_nothing() -> None:
    assert found("What is the capital of France?") == []


def test_no_more_than_asked_for_are_returned() -> None:
    assert len(found("rates", limit=1)) == 1


def test_an_empty_graph_finds_nothing() -> None:
    assert Index([]).find("anything", limit=3) == []
