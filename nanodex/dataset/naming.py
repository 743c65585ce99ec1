"""The short names by which questions and answers call a symbol, unique in the repository.

People ask for `QuoteDesk.appraise`, not for `parcelry.quotes.QuoteDesk.appraise`. A name is the
shortest end of the qualified name that no other symbol of the repository has; overloads share all
of theirs and get none, so nobody is asked which of them is meant.
"""

import re
from collections import Counter
from collections.abc import Iterator

from nanodex.graph.reader import Graph, Node

_PLAIN = re.compile(r"[^\s`{}\"']{1,80}")
_OWNERS = frozenset({"class", "interface", "enum", "exception"})


class Names:
    """Short names of all symbols of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        counts = Counter(
            suffix
            for node in graph.nodes.values()
            if not node.external
            for suffix in self._suffixes(node)
        )
        self._labels: dict[int, str] = {}
        for node in graph.nodes.values():
            if node.external:
                continue
            label = next((end for end in self._suffixes(node) if counts[end] == 1), None)
            if label is not None and _PLAIN.fullmatch(label):
                self._labels[node.id] = label
        self._taken = frozenset(counts)

    def label(self, node: int) -> str | None:
        """Return the short name of a node, or None where it has none of its own.

        An external symbol is called by its last segment (`ValueError`), or by its whole name where
        the repository has a symbol of that name.
        """
        row = self._graph.nodes[node]
        if not row.external:
            return self._labels.get(node)
        label = row.qualified_name if row.name in self._taken else row.name
        return label if _PLAIN.fullmatch(label) else None

    def labels(self) -> dict[int, str]:
        """Return the short names of the repository's own symbols, by node id."""
        return self._labels

    def _suffixes(self, node: Node) -> Iterator[str]:
        """Yield the ends of the qualified name, shortest first; members keep their owner."""
        parts = node.qualified_name.split(".")
        shortest = 1
        if node.kind == "module":
            shortest = len(parts)
        elif node.parent is not None and self._graph.nodes[node.parent].kind in _OWNERS:
            shortest = min(2, len(parts))
        for length in range(shortest, len(parts) + 1):
            yield ".".join(parts[-length:])
