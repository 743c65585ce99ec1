"""Remembers what names and functions stand for, and only what was found out to the end.

Definitions go in circles: a function returns what another returns that calls it. Inside a circle an
answer is cut short where the circle closes. Such a part of an answer holds for the question that is
being asked and for no other: were it kept, edges would depend on which question came first.
"""

from collections.abc import Callable, Hashable

from nanodex.extractor.languages.python.values import Values


class Keeper:
    """Answers by key. What is being answered already is not asked again."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Values] = {}
        # Parts of answers, until the question that everything else is asked for is answered.
        self._parts: dict[Hashable, Values] = {}
        self._open: set[Hashable] = set()
        # How often an answer was cut short: more of them afterwards than before say where.
        self.cuts = 0

    def answer(self, key: Hashable, find: Callable[[], Values]) -> Values:
        """Return the answer for `key`, found now or known; () for a question that is open."""
        known = self._kept.get(key)
        if known is not None:
            return known
        if key in self._open:
            self.cuts += 1
            return ()
        part = self._parts.get(key)
        if part is not None:
            self.cuts += 1
            return part
        before = self.cuts
        self._open.add(key)
        try:
            values = find()
        finally:
            self._open.discard(key)
        if self.cuts == before:
            self._kept[key] = values
        elif self._open:
            self._parts[key] = values
        else:
            self._kept[key] = values
            self._parts.clear()
        return values
