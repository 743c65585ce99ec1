"""Turns topics into examples: every fact in many wordings, each wording at both polarities.

A template must not tell whether the answer is no. So the share of absent things is the same for
each template, not only for the dataset: a set where "Does X exist?" is mostly denied and "Where is
X?" never would teach the wording instead of the repository.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from nanodex.api.records import Example, ExampleMeta, Fact, Message, Polarity
from nanodex.dataset.draw import Draw
from nanodex.dataset.negatives import Absentees
from nanodex.dataset.templates import Template
from nanodex.dataset.topics import Topic, TopicTable
from nanodex.dataset.wordings import Deal, deal_wordings

TrainingSplit = Literal["train", "validation"]
# Families whose objects are paths or phrases; those of the others are names of symbols.
_TEXT_OBJECTS = frozenset({"location", "docstring", "message", "route"})


class QaGenerator:
    """Writes the examples of one dataset."""

    def __init__(
        self,
        *,
        system: str,
        table: TopicTable,
        absentees: Absentees,
        draw: Draw,
        hidden: frozenset[int],
    ) -> None:
        self._system = Message(role="system", content=system)
        self._table = table
        self._absentees = absentees
        self._draw = draw
        self._hidden = hidden

    def deal(self, topics: Iterable[Topic], *, forms: int, ratio: float) -> dict[str, Deal]:
        """Return the wordings of each topic, by topic key; see `deal_wordings`."""
        families: dict[str, list[Topic]] = defaultdict(list)
        for topic in topics:
            families[topic.family.key].append(topic)
        deals: dict[str, Deal] = {}
        for group in families.values():
            reversible = frozenset(
                topic.key
                for topic in group
                if self._table.reversible(topic, hidden=self._hidden) is not None
            )
            deals |= deal_wordings(
                group, reversible=reversible, forms=forms, ratio=ratio, draw=self._draw
            )
        return deals

    def positive(self, topic: Topic, template: Template, *, split: TrainingSplit) -> Example | None:
        """Return the example that asks `topic` so, or None where it cannot be asked so."""
        subject, facts, answer = topic.subject, topic.facts, topic.answer
        an_object = self._an_object(topic, template)
        other = ""
        if template.shape == "reverse":
            sharing = self._table.sharing(topic, an_object)
            answer = topic.family.say_reverse(an_object, tuple(t.subject for t in sharing))
            facts = tuple(f for t in sharing for f in t.facts if f.object == an_object)
        elif template.shape == "check":
            answer = f"Yes: {answer}"
        elif template.shape == "choice":
            found = self._absentees.false_object(topic, template.id)
            if found is None:
                return None
            an_object, other = self._swapped(topic, template, an_object, found)
        return self._example(
            template.fill(s=subject, o=an_object, x=other),
            answer,
            topic=topic,
            template=template,
            polarity="positive",
            facts=facts,
            split=split,
        )

    def negatives(
        self, asked: Sequence[tuple[Topic, Template]], *, ratio: float, split: TrainingSplit
    ) -> list[Example]:
        """Return negatives for positives, `ratio` for each, in every template alike.

        Args:
            asked: topic and template of each positive.
            ratio: negatives for one positive.
            split: where the examples belong.
        """
        by_template: dict[str, list[tuple[Topic, Template]]] = defaultdict(list)
        for topic, template in asked:
            by_template[template.id].append((topic, template))
        examples: list[Example] = []
        owed = 0.0
        for identity in sorted(by_template):
            group = by_template[identity]
            owed += ratio * len(group)
            made = 0
            order = self._draw.order(group, "negatives", identity, name=lambda p: p[0].key)
            for number in range(2 * round(owed)):
                if made == round(owed):
                    break
                topic, template = order[number % len(order)]
                example = self._negative(topic, template, number=number, split=split)
                if example is not None:
                    examples.append(example)
                    made += 1
            owed -= made
        return examples

    def absent(self, topic: Topic, template: Template, *parts: str | int) -> tuple[str, str] | None:
        """Return a prompt about an absent subject like that of `topic`, and its answer."""
        invented = self._absentees.like(topic.subject, template.id, *parts)
        if invented is None:
            return None
        other = self._absentees.false_object(topic, template.id) or topic.objects[0]
        first, second = self._swapped(topic, template, topic.objects[0], other)
        denial = self._denial(invented, topic.subject)
        if template.shape == "check":
            denial = f"No: {denial}"
        return template.fill(s=invented, o=first, x=second), denial

    def _negative(
        self, topic: Topic, template: Template, *, number: int, split: TrainingSplit
    ) -> Example | None:
        made = None
        if template.shape == "reverse":
            made = self._absent_object(topic, template, number)
        elif template.shape == "check" and "{o}" in template.text and number % 2 == 0:
            false = self._absentees.false_object(topic, template.id, number)
            if false is not None:
                made = template.fill(s=topic.subject, o=false), f"No: {topic.answer}"
        if made is None and template.shape != "reverse":
            made = self.absent(topic, template, number)
        if made is None:
            return None
        prompt, answer = made
        return self._example(
            prompt,
            answer,
            topic=topic,
            template=template,
            polarity="negative",
            facts=(),
            split=split,
        )

    def _absent_object(
        self, topic: Topic, template: Template, number: int
    ) -> tuple[str, str] | None:
        real = self._an_object(topic, template)
        if topic.family.key in _TEXT_OBJECTS:
            invented = self._absentees.like_text(real, template.id, number)
            mark, nearest = ("" if topic.family.key == "location" else '"'), real
        else:
            invented = self._absentees.like(real, template.id, number)
            mark, nearest = "`", real
        if invented is None:
            return None
        denial = f"{mark}{invented}{mark} does not exist; the nearest is {mark}{nearest}{mark}."
        return template.fill(s="", o=invented), denial

    def _denial(self, invented: str, base: str) -> str:
        """Deny like a statement affirms, after the name: there a small model knows whose it is.

        With `No:` in front the 135 M model denied 8 of 40 absences that it had been trained on.
        """
        nearest = self._absentees.nearest(invented, base=base)
        return f"`{invented}` does not exist; the nearest is `{nearest}`."

    def _an_object(self, topic: Topic, template: Template) -> str:
        if template.shape == "reverse":
            return self._table.reversible(topic, hidden=self._hidden) or topic.objects[0]
        return topic.objects[self._draw.number(topic.key, template.id) % len(topic.objects)]

    def _swapped(self, topic: Topic, template: Template, one: str, other: str) -> tuple[str, str]:
        """Put the right answer of a choice first as often as second."""
        if template.shape == "choice" and self._draw.number("swap", topic.key, template.id) % 2:
            return other, one
        return one, other

    def _example(
        self,
        prompt: str,
        answer: str,
        *,
        topic: Topic,
        template: Template,
        polarity: Polarity,
        facts: tuple[Fact, ...],
        split: TrainingSplit,
    ) -> Example:
        identity = hashlib.sha256(f"{prompt}\0{answer}".encode()).hexdigest()[:16]
        return Example(
            messages=(
                self._system,
                Message(role="user", content=prompt),
                Message(role="assistant", content=answer),
            ),
            meta=ExampleMeta(
                id=identity,
                category=topic.family.category,
                predicate=topic.family.predicate,
                polarity=polarity,
                facts=tuple(fact.id for fact in facts),
                spans=tuple(fact.span for fact in facts),
                template=template.id,
                genre=template.genre,
                split=split,
            ),
        )
