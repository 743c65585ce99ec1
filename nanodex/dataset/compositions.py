"""Answers that join facts: an explanation of one entity, and chains of two hops."""

from collections.abc import Iterable, Iterator, Sequence

from nanodex.dataset.templates import FAMILIES
from nanodex.dataset.topics import Topic

# What an explanation tells, in this order, and how much of it. Every fact of it is asked in T2, and
# none can be read off from what other entities teach (a caller would tell it of its callee).
_TOLD = ("location", "docstring", "extends", "parameter", "returns", "raises", "value", "reads_env")
_SENTENCES = 3


def explanations(topics: Iterable[Topic]) -> list[tuple[Topic, tuple[Topic, ...]]]:
    """Return for each entity a topic that tells up to three others, and those."""
    entities: dict[int, dict[str, Topic]] = {}
    for topic in topics:
        if topic.family.key in _TOLD:
            entities.setdefault(topic.node, {})[topic.family.key] = topic
    joined = []
    for told_of in entities.values():
        told = [told_of[key] for key in _TOLD if key in told_of][:_SENTENCES]
        if len(told) > 1:
            joined.append((_explanation(told), tuple(told)))
    return joined


def can_be_told(topics: Iterable[Topic]) -> frozenset[int]:
    """Return the nodes that an explanation can be made of."""
    return frozenset(told[0].node for _, told in explanations(topics))


def _explanation(told: Sequence[Topic]) -> Topic:
    first = told[0]
    sentences = [first.answer]
    for topic in told[1:]:
        # The subject is named once; a docstring's statement drops it whole.
        sentence = topic.answer.replace(f"`{topic.subject}`: ", "", 1)
        sentence = sentence.replace(f"`{topic.subject}`", "It", 1)
        sentences.append(sentence)
    return Topic(
        family=FAMILIES["explanation"],
        node=first.node,
        subject=first.subject,
        entity=first.entity,
        objects=tuple(an_object for topic in told for an_object in topic.objects),
        answer=" ".join(sentences),
        facts=tuple(fact for topic in told for fact in topic.facts),
        usefulness=first.usefulness,
    )


class Chains:
    """Finds two-hop chains among topics.

    A chain starts only where its first hop has one object, so that the question has one answer.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        self._topics = tuple(topics)
        self._by_subject = {(topic.family.key, topic.subject): topic for topic in self._topics}

    def all(self) -> list[Topic]:
        """Return every chain."""
        return [
            _chain(key, first, second)
            for first in self._topics
            for key, second in self._continuations(first)
        ]

    def partner(self, first: Topic) -> Topic | None:
        """Return the topic that makes a chain of `first`, or None."""
        return next((second for _, second in self._continuations(first)), None)

    def _continuations(self, first: Topic) -> Iterator[tuple[str, Topic]]:
        if len(first.objects) != 1:
            return
        for key, (hop, next_hop) in _CHAINS.items():
            second = self._by_subject.get((next_hop, first.objects[0]))
            if first.family.key != hop or second is None or len(second.objects) != 1:
                continue
            # What a function raises itself would be a second answer to what its callee raises.
            if key != "callee_raises" or ("raises", first.subject) not in self._by_subject:
                yield key, second


_CHAINS = {
    "caller_file": ("called_by", "location"),
    "exception_file": ("raises", "location"),
    "base_file": ("extends", "location"),
    "callee_raises": ("calls", "raises"),
}


def _chain(key: str, first: Topic, second: Topic) -> Topic:
    rest = second.answer.removeprefix(f"`{second.subject}` ")
    return Topic(
        family=FAMILIES[key],
        node=first.node,
        subject=first.subject,
        entity=first.entity,
        objects=second.objects,
        answer=f"{first.answer.removesuffix('.')}, which {rest}",
        facts=(*first.facts, *second.facts),
        usefulness=first.usefulness,
    )
