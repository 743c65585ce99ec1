"""Entities are held out whole, with their copies, and by the seed alone."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanodex.dataset.draw import Draw
from nanodex.dataset.splits import Split, split_entities, unit_of
from nanodex.graph.reader import Graph, load_graph

COPIED = '''def {name}(rows, limit):
    """Sum the positive rows up to a limit."""
    total = 0
    for row in rows:
        if row > 0 and total + row <= limit:
            total = total + row
    return total
'''


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory, brain_of: Any) -> Graph:
    files = {
        f"part{number}.py": f"class Part{number}:\n"
        f"    def weigh{number}(self, grams):\n        return grams * {number}\n\n\n"
        f"def build{number}(text):\n    return [text.split('{number}'), {number}, Part{number}()]\n"
        for number in range(15)
    }
    files["copies.py"] = "\n\n".join(COPIED.format(name=name) for name in ("add_up", "sum_up"))
    brain = brain_of(files, tmp_path_factory.mktemp("parts"))
    return load_graph(brain / "graph.sqlite")


def subjects(graph: Graph) -> list[int]:
    return [n.id for n in graph.nodes.values() if not n.external]


def split(graph: Graph, *, percent: int = 20, seed: int = 17) -> Split:
    nodes = subjects(graph)
    return split_entities(
        graph, nodes, tellable=frozenset(nodes), holdout_percent=percent, draw=Draw(seed)
    )


@given(seed=st.integers(0, 2**31 - 1), percent=st.integers(0, 50))
@settings(max_examples=15)
def test_a_class_and_its_methods_stay_together(graph: Graph, seed: int, percent: int) -> None:
    found = split(graph, percent=percent, seed=seed)
    for side in (found.held_out, found.text_only):
        for node in side:
            unit = unit_of(graph, node)
            members = [n for n in subjects(graph) if unit_of(graph, n) == unit]
            assert side.issuperset(members)


@given(seed=st.integers(0, 2**31 - 1), percent=st.integers(0, 50))
@settings(max_examples=15)
def test_copies_are_on_the_same_side(graph: Graph, seed: int, percent: int) -> None:
    found = split(graph, percent=percent, seed=seed)
    one, other = (n.id for n in graph.nodes.values() if n.name in ("add_up", "sum_up"))
    assert (one in found.held_out) == (other in found.held_out)
    assert (one in found.text_only) == (other in found.text_only)


def test_no_entity_is_on_two_sides_and_modules_are_on_none(graph: Graph) -> None:
    found = split(graph)
    assert not found.held_out & found.text_only
    assert all(graph.nodes[node].kind != "module" for node in found.hidden)


def test_the_share_is_kept(graph: Graph) -> None:
    units = {unit_of(graph, node) for node in split(graph, percent=20).held_out}
    assert 6 <= len(units) <= 8
    assert split(graph, percent=0).held_out == frozenset()


def test_the_seed_decides_and_the_order_of_subjects_does_not(graph: Graph) -> None:
    nodes = subjects(graph)
    backwards = split_entities(
        graph, nodes[::-1], tellable=frozenset(nodes), holdout_percent=20, draw=Draw(17)
    )
    assert backwards == split(graph)
    assert any(split(graph, seed=seed) != split(graph) for seed in range(5))


def test_a_tiny_repository_spares_nobody(brain_of: Any, tmp_path: Path) -> None:
    brain = brain_of({"a.py": "def f(x):\n    return x\n"}, tmp_path)
    small = load_graph(brain / "graph.sqlite")
    assert split(small, percent=50).hidden == frozenset()
