"""What the graph itself knows of the symbols and files that an answer names.

A model may be wrong in a sentence that sounds right. The graph was read from the code, so its facts
stand beside the answer, and what the graph does not know is marked.
"""

import difflib
import re
from collections.abc import Mapping

from nanodex.api.base import Contract
from nanodex.graph.query import Relation, describe
from nanodex.graph.reader import Graph, Node

_SPAN = re.compile(r"`([^`\n]{1,200})`")
_SYMBOL = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|#)[A-Za-z_$~][\w$]*)*")
_PATH = re.compile(r"(?<![\w/.])(?:[\w.-]+/)*[\w-]+\.[A-Za-z]\w{0,5}(?![\w/])")
# Outside of backticks only what no sentence holds by chance: owner.member, never e.g.
_IN_PROSE = re.compile(r"(?<![\w`./])[A-Za-z_]\w+(?:(?:\.|::)[A-Za-z_]\w+)+(?![\w`/])")
_MOST_NAMES = 50
_MOST_RELATIONS = 8
_MOST_MEANINGS = 3


class Meaning(Contract):
    """One symbol of the graph that a name may mean."""

    qualified_name: str
    kind: str
    path: str
    line: int
    signature: str
    relations: tuple[Relation, ...]


class Evidence(Contract):
    """What the graph says of one name in an answer.

    Attributes:
        name: as the answer writes it.
        known: whether the graph has a symbol or a file of this name.
        path: where the name is that of a file: its path.
        meanings: the symbols of this name, at most three, each with at most eight relations.
        others: further symbols of this name.
        nearest: where the name is not known: names that look like it.
    """

    name: str
    known: bool
    path: str = ""
    meanings: tuple[Meaning, ...] = ()
    others: int = 0
    nearest: tuple[str, ...] = ()


def evidence(graph: Graph, answer: str) -> tuple[Evidence, ...]:
    """Return what `graph` knows of the names in `answer`, in their order, at most fifty."""
    names = _names(answer)[:_MOST_NAMES]
    endings = _by_last_part(graph)
    spoken = {name.rpartition(".")[2] for name in map(_dotted, names)}
    return tuple(_of_name(graph, name, endings=endings, spoken=spoken) for name in names)


def _names(answer: str) -> list[str]:
    """Return symbols and paths in the order in which they are first named."""
    found: list[tuple[int, str]] = []
    for span in _SPAN.finditer(answer):
        text = re.sub(r"\(.*\)$", "", span[1].strip())
        text = re.sub(r":[0-9]+$", "", text)
        if _SYMBOL.fullmatch(text) or _PATH.fullmatch(text):
            found.append((span.start(), text))
    rest = _SPAN.sub(lambda span: " " * len(span[0]), answer)
    found += [(one.start(), one[0]) for one in _PATH.finditer(rest) if "/" in one[0]]
    found += [(one.start(), one[0]) for one in _IN_PROSE.finditer(rest)]
    return list(dict.fromkeys(name for _, name in sorted(found)))


def _of_name(
    graph: Graph, name: str, *, endings: Mapping[str, list[Node]], spoken: set[str]
) -> Evidence:
    files = [path for path in graph.files if path == name or path.endswith(f"/{name}")]
    if files:
        return Evidence(name=name, known=True, path=files[0], others=len(files) - 1)
    dotted = _dotted(name)
    same_end = endings.get(dotted.rpartition(".")[2], [])
    found = [node for node in same_end if node.qualified_name == dotted] or [
        node for node in same_end if f".{node.qualified_name}".endswith(f".{dotted}")
    ]
    # What the repository defines comes before a library's symbol of the same name.
    found.sort(key=lambda node: (node.external, node.qualified_name, node.id))
    if not found:
        near = difflib.get_close_matches(dotted.rpartition(".")[2], endings, n=3, cutoff=0.6)
        shown = [endings[one][0].qualified_name for one in near]
        return Evidence(name=name, known=False, nearest=tuple(shown))
    return Evidence(
        name=name,
        known=True,
        meanings=tuple(_meaning(graph, node, spoken=spoken) for node in found[:_MOST_MEANINGS]),
        others=max(0, len(found) - _MOST_MEANINGS),
    )


def _meaning(graph: Graph, node: Node, *, spoken: set[str]) -> Meaning:
    symbol = describe(graph, node)
    # First what ties it to the other names of the answer.
    relations = sorted(
        symbol.relations, key=lambda one: one.symbol.rpartition(".")[2] not in spoken
    )
    return Meaning(
        qualified_name=symbol.qualified_name,
        kind=symbol.kind,
        path=symbol.path,
        line=symbol.line,
        signature=symbol.signature,
        relations=tuple(relations[:_MOST_RELATIONS]),
    )


def _by_last_part(graph: Graph) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        found.setdefault(node.qualified_name.rpartition(".")[2], []).append(node)
    return found


def _dotted(name: str) -> str:
    return name.replace("::", ".").replace("#", ".")
