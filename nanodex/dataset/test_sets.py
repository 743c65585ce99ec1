"""The questions of T1 to T6, in wordings that no training example has."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from nanodex.api.records import Expected, Message, Question, TestSet
from nanodex.dataset.draw import Draw
from nanodex.dataset.qa_generator import QaGenerator
from nanodex.dataset.templates import Template
from nanodex.dataset.templates.general import GENERAL
from nanodex.dataset.topics import Topic

# T4 asks about this many absent things at least, and at most.
_FEWEST_ABSENT = 60
_MOST_ABSENT = 400
_MOST_HELD_OUT = 200
_ABSENT_ROUNDS = 6
# Held-out questions whose answer no trained relation tells in the other direction.
_NOT_MIRRORED = frozenset({"called_by", "calls", "imports", "tested_by", "usage"})


class QuestionWriter:
    """Writes the test questions of one dataset."""

    def __init__(self, *, system: str, generator: QaGenerator, draw: Draw) -> None:
        self._system = Message(role="system", content=system)
        self._generator = generator
        self._draw = draw

    def trained(self, topics: Iterable[Topic]) -> Iterator[Question]:
        """T1: every trained topic once; the last reserved wording is left for T4."""
        return (self._about(TestSet.TRAINED, topic, self._reserved(topic)) for topic in topics)

    def text_only(self, topics: Iterable[Topic]) -> Iterator[Question]:
        """T2: facts that training states only inside an explanation."""
        return (self._about(TestSet.TEXT_ONLY, topic, self._reserved(topic)) for topic in topics)

    def two_hop(self, chains: Iterable[Topic]) -> Iterator[Question]:
        """T3: chains that were never composed in training, of hops that were trained."""
        return (self._about(TestSet.TWO_HOP, chain, self._reserved(chain)) for chain in chains)

    def absent(self, topics: Sequence[Topic]) -> Iterator[Question]:
        """T4: an absent thing and a present one, asked in the same wording, pair by pair."""
        wanted = min(max(_FEWEST_ABSENT, len(topics) // 2), _MOST_ABSENT)
        order = self._draw.order(topics, "T4", name=lambda topic: topic.key)
        asked: set[str] = set()
        made = 0
        for turn in range(_ABSENT_ROUNDS):
            for topic in order:
                if made == wanted:
                    return
                templates = topic.family.templates("reserved")
                template = templates[-1 - turn % len(templates)]
                pair = self._generator.absent(topic, template, "T4", turn)
                if pair is None:
                    continue
                prompt, denial = pair
                made += 1
                yield self._question(
                    TestSet.ABSENT,
                    prompt,
                    denial,
                    entity=f"absent {made}",
                    topic=topic,
                    template=template,
                    expected=Expected(kind="absent", values=()),
                )
                if topic.key + template.id not in asked:
                    asked.add(topic.key + template.id)
                    yield self._about(TestSet.ABSENT, topic, template)

    def held_out(self, topics: Iterable[Topic]) -> Iterator[Question]:
        """T5: facts of entities that training never asked about; the loss on the true answer."""
        known = [topic for topic in topics if topic.family.key not in _NOT_MIRRORED]
        order = self._draw.order(known, "T5", name=lambda topic: topic.key)
        for topic in order[:_MOST_HELD_OUT]:
            template = self._reserved(topic)
            yield self._question(
                TestSet.HELD_OUT,
                template.fill(s=topic.subject),
                topic.answer,
                entity=topic.entity,
                topic=topic,
                template=template,
                expected=Expected(kind="continuation", values=(topic.answer,)),
            )

    def general(self) -> Iterator[Question]:
        """T6: plain knowledge, to see what was forgotten."""
        for prompt, answer in GENERAL:
            yield self._question(
                TestSet.GENERAL,
                prompt,
                answer,
                entity=prompt,
                topic=None,
                template=None,
                expected=Expected(kind="contains", values=(answer,)),
            )

    def _reserved(self, topic: Topic) -> Template:
        usable = topic.family.templates("reserved")[:-1]
        return usable[self._draw.number("reserved", topic.key) % len(usable)]

    def _about(self, test_set: TestSet, topic: Topic, template: Template) -> Question:
        kind = "contains" if len(topic.objects) == 1 else "set"
        return self._question(
            test_set,
            template.fill(s=topic.subject),
            topic.answer,
            entity=topic.entity,
            topic=topic,
            template=template,
            expected=Expected(kind=kind, values=topic.objects),
        )

    def _question(
        self,
        test_set: TestSet,
        prompt: str,
        reference: str,
        *,
        entity: str,
        topic: Topic | None,
        template: Template | None,
        expected: Expected,
    ) -> Question:
        identity = hashlib.sha256(f"{test_set}\0{prompt}".encode()).hexdigest()[:16]
        return Question(
            id=identity,
            test_set=test_set,
            entity=entity,
            predicate=topic.family.predicate if topic is not None else None,
            messages=(self._system, Message(role="user", content=prompt)),
            reference=reference,
            expected=expected,
            template=template.id if template is not None else "",
        )
