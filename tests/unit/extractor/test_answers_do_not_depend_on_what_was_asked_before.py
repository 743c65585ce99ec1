"""Files may be linked in any order: an answer that a circle of calls cut short is not kept."""

from collections.abc import Sequence

from nanodex.extractor.linker import LinkedUnit, Linker
from nanodex.extractor.program import Unit
from nanodex.extractor.records import pack
from nanodex.extractor.tree_sitter_parser import parse

# `made` gives a dict or a list, and two ways lead back to where one began.
_CIRCLE = {
    "a.py": """
from c import made
def begin(x):
    if x:
        v = {}
    elif x > 1:
        v = made(x)
    v.copy()
    return v
""",
    "b.py": """
from c import made
def between(x):
    if x:
        v = made(x)
    elif x > 1:
        v = between(x)
    v.copy()
    return v
""",
    "c.py": """
from a import begin
def made(x):
    if x:
        v = begin(x)
    elif x > 1:
        v = []
    v.copy()
    return v
""",
    "d.py": """
from a import begin
def end(x):
    v = begin(x)
    v.copy()
    return v
""",
}


def _units() -> list[Unit]:
    units = []
    for path, text in _CIRCLE.items():
        record = parse(text.encode(), language="python", dialect="python")
        packed = pack(record)
        units.append(
            Unit(path, "python", "python", "", record.symbols, packed.bindings, packed.uses)
        )
    return units


def _linked(order: Sequence[int]) -> dict[str, LinkedUnit]:
    units = _units()
    linker = Linker(units)
    return {units[index].path: linker.link(units[index]) for index in order}


def test_a_circle_of_calls_gives_the_same_rows_from_wherever_it_is_entered():
    forward = _linked(range(4))
    assert _linked([3, 2, 1, 0]) == forward
    assert _linked([2, 0, 3, 1]) == forward
    assert _linked([1, 3, 0, 2]) == forward
