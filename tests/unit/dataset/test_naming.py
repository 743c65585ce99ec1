"""A short name is the shortest end of a qualified name that is nobody else's."""

from pathlib import Path
from typing import Any

from nanodex.dataset.naming import Names
from nanodex.graph.reader import Graph, load_graph


def names(graph: Graph) -> dict[str, str | None]:
    labels = Names(graph)
    return {node.qualified_name: labels.label(node.id) for node in graph.nodes.values()}


def test_functions_and_classes_go_by_their_name_and_members_keep_their_owner(shop: Graph) -> None:
    found = names(shop)
    assert found["shop.basket.checkout"] == "checkout"
    assert found["shop.basket.GiftBasket"] == "GiftBasket"
    assert found["shop.basket.Basket.total_cents"] == "Basket.total_cents"
    assert found["shop.basket"] == "shop.basket"


def test_namesakes_are_told_apart_by_their_modules(brain_of: Any, tmp_path: Path) -> None:
    brain = brain_of(
        {"a/one.py": "def load():\n    return 1\n", "a/two.py": "def load():\n    return 2\n"},
        tmp_path,
    )
    found = names(load_graph(brain / "graph.sqlite"))
    assert {"one.load", "two.load"} <= set(found.values())


def test_symbols_that_share_their_whole_name_have_none(brain_of: Any, tmp_path: Path) -> None:
    brain = brain_of(
        {
            "a.py": "def f():\n    return 1\n\n\ndef f():\n    return 2\n",
        },
        tmp_path,
    )
    graph = load_graph(brain / "graph.sqlite")
    labels = Names(graph)
    twins = [node for node in graph.nodes.values() if node.name == "f"]
    assert len(twins) == 2
    assert [labels.label(node.id) for node in twins] == [None, None]


def test_an_external_symbol_goes_by_its_last_segment(shop: Graph) -> None:
    external = [node for node in shop.nodes.values() if node.name == "Exception"]
    assert [Names(shop).label(node.id) for node in external] == ["Exception"]
