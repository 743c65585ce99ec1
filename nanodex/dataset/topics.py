"""Groups proven facts into topics, one answer each, and picks the ones worth training on."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nanodex.api.records import Fact
from nanodex.dataset.facts import Claim
from nanodex.dataset.templates import ATOMIC, FAMILIES, Family

# More objects than these make an answer that no small model recites; such a topic is left out.
_MOST_OBJECTS = 5
# More subjects than these make a reverse question a list to learn by heart.
_MOST_SUBJECTS = 3
_SINGLE = frozenset({"location", "kind", "signature", "returns", "value", "docstring", "usage"})


@dataclass(frozen=True)
class Topic:
    """One subject in one family of questions: every wording of it has the same answer."""

    family: Family
    node: int
    subject: str
    entity: str
    objects: tuple[str, ...]
    answer: str
    facts: tuple[Fact, ...]
    usefulness: tuple[int, int]

    @property
    def key(self) -> str:
        """Name that no other topic of the dataset has."""
        return f"{self.family.key}\0{self.entity}"


class TopicTable:
    """All topics of a repository, and who shares an object."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self.topics = tuple(topics)
        self._subjects: dict[tuple[str, str], list[Topic]] = defaultdict(list)
        for topic in self.topics:
            for an_object in topic.objects:
                self._subjects[topic.family.key, an_object].append(topic)
        self._about: dict[str, list[Topic]] = defaultdict(list)
        for topic in self.topics:
            self._about[topic.subject].append(topic)
        self._objects: dict[str, list[str]] = defaultdict(list)
        for family, an_object in sorted(self._subjects):
            self._objects[family].append(an_object)

    def sharing(self, topic: Topic, an_object: str) -> Sequence[Topic]:
        """Return the topics of the same family that name `an_object`."""
        return self._subjects[topic.family.key, an_object]

    def about(self, subject: str) -> Sequence[Topic]:
        """Return the topics whose subject has this short name."""
        return self._about[subject]

    def objects(self, family: Family) -> Sequence[str]:
        """Return every object that the family knows, sorted."""
        return self._objects[family.key]

    def reversible(self, topic: Topic, *, hidden: frozenset[int]) -> str | None:
        """Return an object of `topic` that can be asked for in reverse without telling secrets.

        Args:
            topic: the topic.
            hidden: nodes whose facts no training example may state.
        """
        if not topic.family.reverse:
            return None
        for an_object in topic.objects:
            sharing = self.sharing(topic, an_object)
            if len(sharing) <= _MOST_SUBJECTS and not any(t.node in hidden for t in sharing):
                return an_object
        return None


def make_topics(
    claims: Iterable[Claim],
    *,
    labels: Mapping[int, str],
    usefulness: Mapping[int, tuple[int, int]],
    dropped: Counter[str],
) -> TopicTable:
    """Group proven claims by subject and family.

    Args:
        claims: proven claims, in the order of the graph.
        labels: short name of each subject.
        usefulness: how much each subject matters, smallest first.
        dropped: counts topics that were left out, by reason.
    """
    groups: dict[tuple[int, str], dict[str, Fact]] = defaultdict(dict)
    for claim in claims:
        groups[claim.node, claim.family].setdefault(claim.fact.object, claim.fact)
    topics = []
    for (node, key), facts in groups.items():
        objects = tuple(facts)
        if len(objects) > (1 if key in _SINGLE else _MOST_OBJECTS):
            dropped["TooManyObjects"] += 1
            continue
        family = FAMILIES[key]
        first = next(iter(facts.values()))
        topics.append(
            Topic(
                family=family,
                node=node,
                subject=labels[node],
                entity=first.subject,
                objects=objects,
                answer=family.say(labels[node], objects),
                facts=tuple(facts.values()),
                usefulness=usefulness[node],
            )
        )
    return TopicTable(topics)


def pick(
    topics: Iterable[Topic],
    *,
    max_facts: int,
    max_topics: int,
    partner: Callable[[Topic], Topic | None],
) -> list[Topic]:
    """Return topics worth at most `max_facts` facts, evenly over predicates and entities.

    Families take turns; on its turn a family gives the topic whose entity is covered least so far,
    the most useful entity first.

    Args:
        topics: the topics to pick from.
        max_facts: facts of all picked topics together.
        max_topics: number of picked topics.
        partner: the topic that makes a two-hop chain of a picked one, if any; up to an eighth of
            the facts are picked for that reason.
    """
    heaps: dict[str, list[tuple[int, tuple[int, int], str, Topic]]] = {
        family.key: [] for family in ATOMIC
    }
    for topic in topics:
        heaps[topic.family.key].append((0, topic.usefulness, topic.entity, topic))
    for heap in heaps.values():
        heap.sort(key=lambda item: item[:3])
    covered: Counter[str] = Counter()
    picked: dict[str, Topic] = {}
    budget, partners = max_facts, max_facts // 8
    while budget > 0 and len(picked) < max_topics and any(heaps.values()):
        for heap in heaps.values():
            chosen = _least_covered(heap, covered)
            second = partner(chosen) if chosen is not None and partners > 0 else None
            for one in (chosen, second):
                if one is None or one.key in picked or len(one.facts) > budget:
                    continue
                if len(picked) == max_topics:
                    continue
                picked[one.key] = one
                covered[one.entity] += 1
                budget -= len(one.facts)
                partners -= len(one.facts) if one is second else 0
    return list(picked.values())


def _least_covered(
    heap: list[tuple[int, tuple[int, int], str, Topic]], covered: Counter[str]
) -> Topic | None:
    """Pop the topic with the least covered entity; coverage only grows, so stale keys sink."""
    while heap:
        seen, usefulness, entity, topic = heap[0]
        if covered[entity] == seen:
            heapq.heappop(heap)
            return topic
        heapq.heapreplace(heap, (covered[entity], usefulness, entity, topic))
    return None
