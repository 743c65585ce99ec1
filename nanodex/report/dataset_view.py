"""What the page says about the dataset: how many examples of what, and some of them in full."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nanodex.api.records import DatasetCard, Example, Question
from nanodex.report.graph_view import Share, shares

# Enough to see how it is worded, few enough to read.
_SAMPLES_OF_A_KIND = 2
_MAX_TEXT = 700

# The counts of the card that are about the examples themselves.
_SHOWN = ("category", "polarity", "genre", "predicate")


@dataclass(frozen=True)
class Sample:
    """One example as the model sees it, without the system message that all of them share."""

    category: str
    polarity: str
    genre: str
    predicate: str
    question: str
    answer: str
    evidence: str


@dataclass(frozen=True)
class DatasetView:
    """The dataset in numbers and in samples."""

    card: DatasetCard
    counts: tuple[tuple[str, tuple[Share, ...]], ...]
    dropped: tuple[Share, ...]
    questions: dict[str, int]
    samples: tuple[Sample, ...]


def view_dataset(
    card: DatasetCard, examples: Iterable[Example], questions: Iterable[Question]
) -> DatasetView:
    """Count and choose samples: the first of each category and polarity, in the order of the file.

    Args:
        card: dataset.json.
        examples: train.jsonl.
        questions: questions.jsonl.
    """
    return DatasetView(
        card=card,
        counts=tuple((name, shares(card.counts[name])) for name in _SHOWN if name in card.counts),
        dropped=shares(card.dropped),
        questions=dict(sorted(Counter(question.test_set for question in questions).items())),
        samples=_samples(examples),
    )


def _samples(examples: Iterable[Example]) -> tuple[Sample, ...]:
    chosen: dict[tuple[str, str], list[Sample]] = {}
    genres: set[tuple[str, str, str]] = set()
    for example in examples:
        meta = example.meta
        kind = (meta.category, meta.polarity)
        # Two samples of a kind in the same genre would show less than two of different ones.
        if len(chosen.get(kind, ())) < _SAMPLES_OF_A_KIND and (*kind, meta.genre) not in genres:
            genres.add((*kind, meta.genre))
            chosen.setdefault(kind, []).append(_sample(example))
    return tuple(sample for _, samples in sorted(chosen.items()) for sample in samples)


def _sample(example: Example) -> Sample:
    asked = [message.content for message in example.messages if message.role == "user"]
    answered = [message.content for message in example.messages if message.role == "assistant"]
    meta = example.meta
    return Sample(
        category=meta.category,
        polarity=meta.polarity,
        genre=meta.genre,
        predicate=meta.predicate.value,
        question=shorten("\n".join(asked)),
        answer=shorten("\n".join(answered)),
        evidence=", ".join(f"{span.path}:{span.line}" for span in meta.spans[:4]),
    )


def shorten(text: str) -> str:
    """Return the start of `text`, marked where it was cut."""
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " …"
