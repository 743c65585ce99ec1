"""Scores of answers, without a judge: every rule is one that a reader can check by hand."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from nanodex.api.records import Expected, Interval, Question, TestSet

_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_SYMBOL = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|#)[A-Za-z_$~][\w$]*)*(?:\(\))?")
_PATH = re.compile(r"(?<![\w/])[\w.-]+(?:/[\w.-]+)*/[\w-]+\.\w+")
_DENIAL = re.compile(
    r"^\s*no\b|\bdoes not exist\b|\bdoesn't exist\b|\bno such\b|\bthere is no\b", re.IGNORECASE
)
_AFFIRMED = re.compile(r"^\s*yes\b", re.IGNORECASE)
# What may follow the name of an absent thing without claiming anything about it.
_NO_CLAIM = r"(?!does not|doesn't|is not|isn't|in this|in the|here\b|anywhere\b)"


def score_answer(question: Question, text: str) -> float:
    """Return how right `text` is, 0 to 1, for every kind but `continuation`."""
    expected = question.expected
    if expected.kind == "absent":
        return float(abstains(text, asked=code_spans(question.messages[-1].content)))
    if question.test_set is TestSet.GENERAL:
        text, expected = text.casefold(), _casefolded(expected)
    elif denies(text) and not denies(question.reference):
        return 0.0
    if expected.kind == "set":
        mentioned = set(code_spans(question.messages[-1].content))
        return set_f1(text, expected.values, mentioned=mentioned)
    return float(all(contains(text, value) for value in expected.values))


def contains(text: str, value: str) -> bool:
    """Whether `value` stands in `text` whole: not as a part of a longer name, path or number."""
    plain = " ".join(text.split())
    wanted = re.escape(" ".join(value.split()))
    return re.search(rf"(?<![\w/]){wanted}(?![\w/]|\.\w|-\w)", plain) is not None


def set_f1(text: str, values: Sequence[str], *, mentioned: set[str]) -> float:
    """Return F1 of what `text` names in code spans against `values`.

    Args:
        text: the answer.
        values: what it should name.
        mentioned: names of the question itself, which an answer may repeat.
    """
    named = set(code_spans(text)) | set(_PATH.findall(text))
    wanted = set(values)
    hits = {value for value in wanted if value in named or contains(text, value)}
    wrong = named - wanted - mentioned
    if not hits:
        return 0.0
    precision = len(hits) / (len(hits) + len(wrong))
    recall = len(hits) / len(wanted)
    return 2 * precision * recall / (precision + recall)


def denies(text: str) -> bool:
    """Whether an answer says that what was asked about does not exist."""
    return _DENIAL.search(text) is not None and not _AFFIRMED.search(text)


def abstains(text: str, *, asked: Sequence[str]) -> bool:
    """Whether an answer denies and then claims nothing about the names that were asked about."""
    if not denies(text):
        return False
    return not any(re.search(rf"`?{re.escape(name)}`?:?\s+{_NO_CLAIM}\w", text) for name in asked)


def code_spans(text: str) -> list[str]:
    """Return what stands between backticks."""
    return _CODE_SPAN.findall(text)


def symbols(text: str) -> list[str]:
    """Return the symbols and paths that an answer names; only code spans can be symbols."""
    spans = [span for span in code_spans(text) if _SYMBOL.fullmatch(span) or _PATH.fullmatch(span)]
    return spans + [path for path in _PATH.findall(text) if path not in spans]


def unknown_share(answers: Sequence[tuple[str, str]], *, known: frozenset[str]) -> float:
    """Return the share of the symbols in answers that neither the graph nor the prompt knows.

    Args:
        answers: prompt and answer.
        known: names, qualified names and paths of the graph.
    """
    total = unknown = 0
    for prompt, text in answers:
        for symbol in symbols(text):
            total += 1
            unknown += symbol.removesuffix("()") not in known and symbol not in prompt
    return unknown / total if total else 0.0


def interval(scores: Mapping[str, Sequence[float]], *, samples: int, seed: int) -> Interval:
    """Return the mean over all questions and its 95 % bootstrap interval over entities.

    Questions about one entity are not independent, so entities are resampled with all of theirs
    (cluster bootstrap; Davison and Hinkley 1997, section 3.8).

    Args:
        scores: scores by entity, at least one.
        samples: resamples.
        seed: of the resampling.
    """
    sums = np.array([sum(values) for values in scores.values()])
    counts = np.array([len(values) for values in scores.values()])
    drawn = np.random.default_rng(seed).integers(len(sums), size=(samples, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(
        mean=round(float(sums.sum() / counts.sum()), 6),
        low=round(float(low), 6),
        high=round(float(high), 6),
        questions=int(counts.sum()),
    )


def _casefolded(expected: Expected) -> Expected:
    values = tuple(value.casefold() for value in expected.values)
    return Expected(kind=expected.kind, values=values)
