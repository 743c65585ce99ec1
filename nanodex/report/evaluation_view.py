"""What the page says about the evaluation: scores with intervals, and answers side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nanodex.api.records import Answer, EvaluationReport, Question, SetResult, TestSet
from nanodex.report.dataset_view import shorten

_QUESTIONS_OF_A_SET = 4

MEANINGS = {
    TestSet.TRAINED: "Trained facts, asked in wordings that the training never used",
    TestSet.TEXT_ONLY: "Facts that the training only mentioned inside other answers",
    TestSet.TWO_HOP: "Two facts that have to be put together",
    TestSet.ABSENT: "Things that do not exist, among near ones that do: does it say so?",
    TestSet.HELD_OUT: "Code and facts that were kept out of the training",
    TestSet.GENERAL: "General knowledge: what the training must not break",
}

# Metrics of nanodex.evaluation that fall when the model gets better.
_LOWER_IS_BETTER = {"loss", "over-refusal"}

ARMS = ("base", "base+retrieval", "adapter", "adapter+retrieval")


@dataclass(frozen=True)
class Mark:
    """An interval on a scale from 0 to 100."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class ArmScore:
    """One arm on one test set."""

    result: SetResult
    mark: Mark


@dataclass(frozen=True)
class SetScores:
    """All arms on one test set; `scale` is the number at the right end of the marks."""

    test_set: TestSet
    meaning: str
    metric: str
    lower_is_better: bool
    scale: float
    arms: tuple[ArmScore, ...]


@dataclass(frozen=True)
class Dialogue:
    """A question and what every arm answered; an arm that was not asked has no answer.

    `scored_by` is empty where the score says how right an answer is, from 0 to 1.
    """

    test_set: TestSet
    meaning: str
    question: str
    reference: str
    scored_by: str
    answers: tuple[Answer | None, ...]


@dataclass(frozen=True)
class EvaluationView:
    """The evaluation as tables."""

    report: EvaluationReport
    arms: tuple[str, ...]
    sets: tuple[SetScores, ...]
    unknown_symbols: tuple[tuple[str, float], ...]
    dialogues: tuple[Dialogue, ...]
    asked: int

    def mean(self, arm: str, test_set: TestSet) -> float | None:
        """Return the mean of an arm on a set, where it was measured."""
        for result in self.report.results:
            if (result.arm, result.test_set) == (arm, test_set):
                return result.score.mean
        return None


def view_evaluation(
    report: EvaluationReport, questions: Iterable[Question], answers: Iterable[Answer]
) -> EvaluationView:
    """Arrange the scores by set and choose answers evenly, neither good nor bad ones first."""
    by_question: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        by_question.setdefault(answer.question, {})[answer.arm] = answer
    present = {result.arm for result in report.results} | set(report.unknown_symbols)
    present |= {arm for answered in by_question.values() for arm in answered}
    arms = tuple(arm for arm in ARMS if arm in present)
    asked = [question for question in questions if question.id in by_question]
    return EvaluationView(
        report=report,
        arms=arms,
        sets=tuple(_set_scores(report.results)),
        unknown_symbols=tuple(
            (arm, report.unknown_symbols[arm]) for arm in arms if arm in report.unknown_symbols
        ),
        dialogues=tuple(
            _dialogue(question, by_question[question.id], arms=arms) for question in _spread(asked)
        ),
        asked=len(asked),
    )


def _set_scores(results: Sequence[SetResult]) -> Iterable[SetScores]:
    kinds = sorted({(result.test_set, result.metric) for result in results})
    for test_set, metric in kinds:
        rows = [r for r in results if (r.test_set, r.metric) == (test_set, metric)]
        rows.sort(key=lambda result: ARMS.index(result.arm))
        scale = max([1.0, *(row.score.high for row in rows)])
        yield SetScores(
            test_set=test_set,
            meaning=MEANINGS[test_set],
            metric=metric,
            lower_is_better=metric in _LOWER_IS_BETTER,
            scale=scale,
            arms=tuple(ArmScore(row, _mark(row, scale=scale)) for row in rows),
        )


def _mark(result: SetResult, *, scale: float) -> Mark:
    low, mean, high = (
        min(max(100 * value / scale, 0.0), 100.0)
        for value in (result.score.low, result.score.mean, result.score.high)
    )
    return Mark(round(low, 2), round(mean, 2), round(high, 2))


def _spread(questions: Sequence[Question]) -> list[Question]:
    """Return some questions of each set, evenly from the whole list."""
    chosen = []
    for test_set in TestSet:
        of_set = sorted((q for q in questions if q.test_set == test_set), key=lambda q: q.id)
        count = min(_QUESTIONS_OF_A_SET, len(of_set))
        chosen += [of_set[index * len(of_set) // count] for index in range(count)]
    return chosen


def _dialogue(question: Question, answered: dict[str, Answer], *, arms: Sequence[str]) -> Dialogue:
    asked = [message.content for message in question.messages if message.role == "user"]
    return Dialogue(
        test_set=question.test_set,
        meaning=MEANINGS[question.test_set],
        question=shorten("\n".join(asked)),
        reference=shorten(question.reference),
        scored_by="loss" if question.expected.kind == "continuation" else "",
        answers=tuple(_short(answered.get(arm)) for arm in arms),
    )


def _short(answer: Answer | None) -> Answer | None:
    return answer and answer.model_copy(update={"text": shorten(answer.text)})
