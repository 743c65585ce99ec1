"""A graph is input: rows that name what is not there are refused before anything follows them."""

import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.graph.reader import load_graph

NODE = (
    "INSERT INTO nodes VALUES (?, '', 'f', 'a.py', 'function', 'a.f', 'python', 1, 2, '', '',"
    " 'public', ?, 0, 1, 0, 1, '', '', '[]')"
)


@pytest.mark.parametrize(
    ("forgery", "table"),
    [
        (
            "INSERT INTO edges VALUES (1, 99, 'calls', 'a.py', 1, 'import', 1.0, 0, 1)",
            "edges",
        ),
        (
            "INSERT INTO edges VALUES (99, 1, 'calls', 'a.py', 1, 'import', 1.0, 0, 1)",
            "edges",
        ),
        ("UPDATE nodes SET parent = 99", "nodes"),
        ("INSERT INTO parameters VALUES (99, 0, 'x', '', '', 0, 1)", "parameters"),
        ("INSERT INTO raise_sites VALUES (99, 'E', '', '', 'a.py', 1, 0, 1)", "raise_sites"),
    ],
)
def test_a_row_that_names_no_node_is_refused(tmp_path: Path, forgery: str, table: str) -> None:
    path = tmp_path / "graph.sqlite"
    database = sqlite3.connect(path)
    database.executescript(resources.files("nanodex.graph").joinpath("schema.sql").read_text())
    database.execute(NODE, (1, None))
    database.execute(forgery)
    database.commit()
    database.close()
    with pytest.raises(UserError) as refused:
        load_graph(path)
    assert refused.value.reason is Reason.INVALID_INPUT
    assert f"a row of {table} names node 99" in str(refused.value)
