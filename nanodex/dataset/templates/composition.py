"""Questions over two hops; the answer states both, so that the second has the first to lean on.

`{objects}` is the whole sentence that nanodex.dataset.compositions has put together.
"""

from nanodex.api.records import Predicate
from nanodex.dataset.templates.family import Family

CALLER_FILE = Family(
    key="caller_file",
    predicate=Predicate.DEFINED_AT,
    category="composition",
    statement="{objects}",
    mark="",
    ask=(
        ("flow", "In which file is the caller of `{s}`?"),
        ("flow", "From which file is `{s}` called?"),
        ("flow", "Which file uses `{s}`?"),
        ("flow", "Where is the code that calls `{s}`?"),
        ("flow", "Path of the caller of `{s}`:"),
        ("flow", "Who calls `{s}`, and in which file?"),
    ),
    reserved=(
        ("flow", "Which file holds the function that invokes `{s}`?"),
        ("flow", "Give the path from which `{s}` is invoked."),
    ),
)

EXCEPTION_FILE = Family(
    key="exception_file",
    predicate=Predicate.DEFINED_AT,
    category="composition",
    statement="{objects}",
    mark="",
    ask=(
        ("flow", "In which file is the exception of `{s}` defined?"),
        ("flow", "Where is the error that `{s}` raises defined?"),
        ("flow", "From which file do I import what `{s}` raises?"),
        ("flow", "Path of the exception of `{s}`:"),
        ("flow", "Which file defines what `{s}` throws?"),
        ("flow", "What does `{s}` raise, and from which file?"),
    ),
    reserved=(
        ("flow", "Which file contains the exception class that `{s}` throws?"),
        ("flow", "Give the path of the error that `{s}` fails with."),
    ),
)

BASE_FILE = Family(
    key="base_file",
    predicate=Predicate.DEFINED_AT,
    category="composition",
    statement="{objects}",
    mark="",
    ask=(
        ("flow", "In which file is the base class of `{s}`?"),
        ("flow", "Where is the parent of `{s}` defined?"),
        ("flow", "From which file does `{s}` inherit?"),
        ("flow", "Path of the base class of `{s}`:"),
        ("flow", "Which file defines what `{s}` extends?"),
        ("flow", "What does `{s}` extend, and in which file?"),
    ),
    reserved=(
        ("flow", "Which file contains the superclass of `{s}`?"),
        ("flow", "Give the path of the class that `{s}` is built on."),
    ),
)

CALLEE_RAISES = Family(
    key="callee_raises",
    predicate=Predicate.RAISES,
    category="composition",
    statement="{objects}",
    mark="",
    ask=(
        ("flow", "Which exception can `{s}` pass on from what it calls?"),
        ("flow", "Which error reaches `{s}` from below?"),
        ("flow", "What is raised by the callee of `{s}`?"),
        ("flow", "What may come up through `{s}`?"),
        ("flow", "Exception from the callees of `{s}`:"),
        ("flow", "What does `{s}` call, and what does that raise?"),
    ),
    reserved=(
        ("flow", "Which exception may a callee of `{s}` throw?"),
        ("flow", "Name the error that `{s}` gets from a function it uses."),
    ),
)
