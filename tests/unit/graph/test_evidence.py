"""What the graph says of the names in an answer, and which of them it does not know."""

from typing import Any

import pytest

from nanodex.graph.evidence import Evidence, evidence
from nanodex.graph.reader import Edge, Graph, Node, SourceFile

_NODE: dict[str, Any] = {
    name: "" if kind is str else 0 for name, kind in Node.__annotations__.items()
} | {"type": "", "language": "python", "parent": None, "visibility": "public"}


def node(number: int, qualified_name: str, *, kind: str = "class", line: int = 1) -> Node:
    path = "" if kind == "external" else "src/shop/ledger.py"
    return Node(
        **_NODE
        | {
            "id": number,
            "name": qualified_name.rpartition(".")[2],
            "qualified_name": qualified_name,
            "kind": kind,
            "path": path,
            "start_line": line,
            "signature": "",
        }
    )


@pytest.fixture
def graph() -> Graph:
    nodes = [
        node(1, "shop.ledger.Ledger", line=3),
        node(2, "shop.ledger.Ledger.post", kind="method", line=7),
        node(3, "shop.ledger.LedgerError", line=1),
        node(4, "builtins.ValueError", kind="external"),
        *(node(10 + index, f"shop.part{index}.run", kind="function") for index in range(5)),
    ]
    path = "src/shop/ledger.py"
    edges = [
        *(
            Edge(2, 10 + index, "calls", path, 20 + index, "import", 1.0, 0, 1)
            for index in range(5)
        ),
        *(
            Edge(10 + index, 2, "calls", path, 30 + index, "import", 1.0, 0, 1)
            for index in range(5)
        ),
        Edge(2, 3, "raises", path, 9, "import", 1.0, 0, 1),
    ]
    outgoing: dict[int, list[Edge]] = {}
    incoming: dict[int, list[Edge]] = {}
    for edge in edges:
        outgoing.setdefault(edge.src, []).append(edge)
        incoming.setdefault(edge.dst, []).append(edge)
    file = SourceFile(path, "", "python", 1, 1, "parsed", "", None)
    return Graph(
        meta={}, files={path: file}, nodes={one.id: one for one in nodes}, outgoing=outgoing,
        incoming=incoming, parameters={}, raise_sites={}, attributes={}, unresolved={}, children={},
    )  # fmt: skip


def names(found: tuple[Evidence, ...]) -> list[tuple[str, bool]]:
    return [(one.name, one.known) for one in found]


def test_each_name_of_an_answer_is_looked_up_once_in_its_order(graph: Graph) -> None:
    answer = (
        "`Ledger.post(entry)` in `src/shop/ledger.py` raises `LedgerError`, a `ValueError`. "
        "See Ledger.post and src/shop/ledger.py; `LedgerError` is caught in `Ledger.settle()`."
    )

    assert names(evidence(graph, answer)) == [
        ("Ledger.post", True),
        ("src/shop/ledger.py", True),
        ("LedgerError", True),
        ("ValueError", True),
        ("Ledger.settle", False),
    ]


def test_a_symbol_comes_with_file_line_and_first_what_ties_it_to_the_answer(graph: Graph) -> None:
    post, error = evidence(graph, "`Ledger.post` raises `LedgerError`")

    (meaning,) = post.meanings
    assert (meaning.path, meaning.line, meaning.kind) == ("src/shop/ledger.py", 7, "method")
    first = meaning.relations[0]
    assert (first.relationship, first.symbol, first.line) == (
        "raises", "shop.ledger.LedgerError", 9,
    )  # fmt: skip
    assert len(meaning.relations) == 8
    assert error.meanings[0].relations[0].direction == "in"


def test_an_invented_symbol_is_marked_with_what_looks_like_it(graph: Graph) -> None:
    (found,) = evidence(graph, "It raises `LedgrError`.")

    assert (found.known, found.meanings) == (False, ())
    assert found.nearest[0] == "shop.ledger.LedgerError"


def test_a_name_of_many_symbols_says_how_many_more_there_are(graph: Graph) -> None:
    (found,) = evidence(graph, "Call `run`.")

    assert (len(found.meanings), found.others) == (3, 2)


def test_a_symbol_of_a_library_is_known_and_has_no_file(graph: Graph) -> None:
    (found,) = evidence(graph, "`ValueError`")

    assert found.meanings[0].path == ""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("It is in ledger.py, line 41, e.g. there.", [("ledger.py", True)]),
        ("`shop::ledger::Ledger`", [("shop::ledger::Ledger", True)]),
        ("`ledger.py`", [("ledger.py", True)]),
        ("`ledger.py:7`", [("ledger.py", True)]),
        ("`a sentence in code`", []),
        ("src/shop/gone.py", [("src/shop/gone.py", False)]),
        ("", []),
    ],
)
def test_what_is_a_name_and_what_is_not(
    graph: Graph, answer: str, found: list[tuple[str, bool]]
) -> None:
    assert names(evidence(graph, answer)) == found


def test_an_answer_that_never_ends_costs_little(graph: Graph) -> None:
    answer = " ".join(f"`Made{number}.up`" for number in range(10_000))

    assert len(evidence(graph, answer)) == 50
