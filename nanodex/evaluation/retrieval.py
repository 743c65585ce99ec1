"""Finds the nodes that a question is about, by their names: the arm `+retrieval` reads summaries.

Okapi BM25 (Robertson and Zaragoza 2009) over the words of qualified names. A name that stands in
the question as it is outweighs any sum of words.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from nanodex.api.records import NodeRecord

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_NAMES = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::)[A-Za-z_$][\w$]*)*")
_K1 = 1.2
_B = 0.75
_WHOLE_NAME = 100.0


class Index:
    """The names of a graph's nodes."""

    def __init__(self, nodes: Sequence[NodeRecord]) -> None:
        """Index `nodes`."""
        self._nodes = list(nodes)
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._lengths: list[int] = []
        for number, node in enumerate(self._nodes):
            words = Counter(_words(node.qualified_name))
            self._lengths.append(sum(words.values()))
            for word, count in words.items():
                self._postings[word].append((number, count))
            parts = re.split(r"\.|::", node.qualified_name)
            for start in range(len(parts)):
                self._whole[".".join(parts[start:])].append(number)
        self._average = sum(self._lengths) / max(len(self._lengths), 1)

    def find(self, question: str, *, limit: int) -> list[NodeRecord]:
        """Return at most `limit` nodes, best first; none where no word of a name is in it."""
        scores: dict[int, float] = defaultdict(float)
        for name in _NAMES.findall(question):
            for number in self._whole.get(name.replace("::", "."), ()):
                scores[number] += _WHOLE_NAME
        for word in set(_words(question)):
            postings = self._postings.get(word, ())
            rarity = math.log(1 + (len(self._nodes) - len(postings) + 0.5) / (len(postings) + 0.5))
            for number, count in postings:
                norm = _K1 * (1 - _B + _B * self._lengths[number] / self._average)
                scores[number] += rarity * count * (_K1 + 1) / (count + norm)
        # Among equals the outer symbol first: `parse` before `other.module.parse`.
        best = sorted(scores, key=lambda number: (-scores[number], self._lengths[number], number))
        return [self._nodes[number] for number in best[:limit]]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]
