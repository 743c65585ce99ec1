"""Invents what does not exist, proves that it does not, and finds the nearest thing that does.

A model that only ever hears about real things affirms everything. So each wording is also asked
about a name that nearly exists. The proof of absence is the source itself: the last segment of an
invented name stands nowhere in it, or a class whose every base is known has no such method.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from nanodex.dataset.contents import Contents
from nanodex.dataset.draw import Draw
from nanodex.dataset.naming import Names
from nanodex.dataset.topics import Topic, TopicTable
from nanodex.graph.reader import Graph

_TRIES = 24
_POSTINGS = 48
_IDENTIFIER = re.compile(rb"[^\W\d]\w*")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_PATH_STEM = re.compile(r"[^/]*$")


class Absentees:
    """Invents names for one dataset; no name is given out twice."""

    def __init__(
        self, graph: Graph, *, contents: Contents, names: Names, table: TopicTable, draw: Draw
    ) -> None:
        self._graph = graph
        self._draw = draw
        self._contents = contents
        self._known = {path.casefold() for path in graph.files}
        for path in (path for path, file in graph.files.items() if file.content is not None):
            words = set(_IDENTIFIER.findall(contents[path]))
            self._known.update(word.decode(errors="ignore").casefold() for word in words)
        for node in graph.nodes.values():
            self._known.update((node.name.casefold(), node.qualified_name.casefold()))
        labels = {topic.subject for topic in table.topics}
        self._known.update(label.casefold() for label in names.labels().values())
        self._known.update(o.casefold() for topic in table.topics for o in topic.objects)
        self._postings: dict[str, list[str]] = defaultdict(list)
        self._words = {label: _words(label) for label in sorted(labels)}
        for label, words in self._words.items():
            for word in sorted(words):
                self._postings[word].append(label)
        self._vocabulary = sorted(self._postings)
        self._table = table
        self._methods = sorted({t.subject.rsplit(".", 1)[-1] for t in table.topics if _member(t)})
        self._given: set[str] = set()

    def like(self, label: str, *parts: str | int) -> str | None:
        """Return an absent name that looks like `label`, or None where none was found."""
        head, dot, last = label.rpartition(".")
        for attempt in range(_TRIES):
            number = self._draw.number("absent", label, *parts, attempt)
            if dot and number % 4 == 0:
                invented = self._wrong_method(head, number // 4)
            else:
                invented = f"{head}{dot}{self._mutated(last, number)}"
                if self._mutated(last, number).casefold() in self._known:
                    continue
            if invented and self._take(invented):
                return invented
        return None

    def like_text(self, text: str, *parts: str | int) -> str | None:
        """Return an absent path or phrase that looks like `text`: one word is another."""
        stem = _PATH_STEM.search(text) if "/" in text or " " not in text else None
        start = stem.start() if stem is not None else 0
        for attempt in range(_TRIES):
            number = self._draw.number("absent text", text, *parts, attempt)
            invented = text[:start] + self._mutated(text[start:], number)
            if self._take(invented):
                return invented
        return None

    def nearest(self, invented: str, *, base: str) -> str:
        """Return the existing name closest to `invented` by its words; `base` is one candidate."""
        words = _words(invented)
        candidates = {base}
        for word in sorted(words, key=lambda w: (len(self._postings.get(w, ())), w))[:2]:
            candidates.update(self._postings.get(word, ())[:_POSTINGS])

        style = _style(invented)

        def distance(label: str) -> tuple[float, bool, str]:
            others = self._words.get(label) or _words(label)
            shared = len(words & others) / len(words | others)
            # A class is a better neighbour of a class than of a function with the same words.
            return (-shared - 0.25 * (_style(label) == style), label != base, label)

        return min(candidates, key=distance)

    def false_object(self, topic: Topic, *parts: str | int) -> str | None:
        """Return an object of the topic's family that provably is not one of this subject's."""
        objects = self._table.objects(topic.family)
        if topic.family.key in ("called_by", "tested_by", "imports") or len(objects) < 2:
            return None
        node = self._graph.nodes[topic.node]
        body = self._contents[node.path][node.start_byte : node.end_byte]
        for attempt in range(8):
            number = self._draw.number("false", topic.key, *parts, attempt)
            other = objects[number % len(objects)]
            if other in topic.objects:
                continue
            if topic.family.key in ("location", "kind"):
                return other
            last = other if " " in other else other.rsplit(".", 1)[-1]
            if last.encode() not in body:
                return other
        return None

    def _take(self, invented: str) -> bool:
        folded = invented.casefold()
        if folded in self._given or folded in self._known:
            return False
        self._given.add(folded)
        return True

    def _mutated(self, name: str, number: int) -> str:
        """Change one word of a name or phrase, or add one, in the style of the name."""
        words = list(_WORDS.finditer(name))
        new = self._vocabulary[(number >> 8) % len(self._vocabulary)]
        if not words:
            return f"{name}_{new}"
        word = words[number % len(words)]
        if number % 5 == 0 and not set(name) & set(" /"):
            addition = f"_{new}" if "_" in name or name.islower() else new.capitalize()
            addition = addition.upper() if name.isupper() else addition
            return name[: word.end()] + addition + name[word.end() :]
        return name[: word.start()] + _in_case(new, word.group()) + name[word.end() :]

    def _wrong_method(self, owner: str, number: int) -> str | None:
        """Return a real method's name on a class that does not have it."""
        node = next((t.node for t in self._members(owner)), None)
        if node is None or not self._methods:
            return None
        method = self._methods[number % len(self._methods)]
        parent = self._graph.nodes[node].parent
        if parent is None or method in self._inherited(parent):
            return None
        row = self._graph.nodes[parent]
        body = self._contents[row.path][row.start_byte : row.end_byte]
        return None if method.encode() in body else f"{owner}.{method}"

    def _members(self, owner: str) -> Iterator[Topic]:
        for word in sorted(_words(owner))[:1]:
            for label in self._postings.get(word, ()):
                if label.startswith(f"{owner}."):
                    yield from self._table.about(label)

    def _inherited(self, node: int) -> frozenset[str] | set[str]:
        """Return the member names of a class and its bases; everything where a base is unknown."""
        names: set[str] = set()
        pending, seen = [node], {node}
        while pending:
            current = pending.pop()
            names.update(self._graph.nodes[c].name for c in self._graph.children.get(current, ()))
            for edge in self._graph.outgoing.get(current, ()):
                if edge.relationship in ("extends", "implements") and edge.dst not in seen:
                    seen.add(edge.dst)
                    if self._graph.nodes[edge.dst].external:
                        return set(self._methods)
                    pending.append(edge.dst)
        return names


def _member(topic: Topic) -> bool:
    return "." in topic.subject and topic.family.key == "kind" and topic.objects == ("method",)


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORDS.findall(text)}


def _style(label: str) -> tuple[bool, bool, bool]:
    last = label.rsplit(".", 1)[-1]
    return last[:1].isupper(), last.isupper(), "." in label


def _in_case(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
