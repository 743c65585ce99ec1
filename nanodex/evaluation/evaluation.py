"""The evaluate stage: brain, questions and adapter in; scores, answers and a verdict out."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nanodex.api.base import Contract
from nanodex.api.parameters import Arm, EvaluationConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import Answer, EvaluationReport, Question, SetResult, TestSet
from nanodex.errors import Interrupted
from nanodex.evaluation.gate import judge
from nanodex.evaluation.metrics import denies, interval, score_answer, unknown_share
from nanodex.evaluation.retrieval import Index
from nanodex.evaluation.test_sets import draw, read_nodes, read_questions, with_context
from nanodex.graph.reader import load_graph
from nanodex.models import BaseModel

_BATCH = 96
_LOSS_BATCH = 16
_CONTEXT_NODES = 3


class EvaluationMetrics(Contract):
    """Figures of one evaluation."""

    passed: bool
    score: float
    base_score: float
    abstention: float
    over_refusal: float
    unknown_symbols: float
    questions: int
    seconds: float


def evaluate(
    config: EvaluationConfig,
    *,
    brain: Path,
    dataset: Path,
    adapter: Path,
    base_model: BaseModel,
    out: Path,
    progress: Progress,
) -> EvaluationMetrics:
    """Ask every arm every question and write evaluation.json and answers.jsonl to `out`.

    Args:
        config: parameters.
        brain: folder with graph.sqlite and nodes.jsonl.
        dataset: folder with questions.jsonl.
        adapter: folder with adapter_config.json and adapter_model.safetensors.
        base_model: resolved base model.
        out: folder for the results.
        progress: told of each batch, and asked whether to stop.

    Raises:
        UserError: an input is not what the stages before write.
        Interrupted: `progress.stopping` was seen; nothing was written.
    """
    started = time.monotonic()
    questions = draw(
        read_questions(dataset / "questions.jsonl"), most=config.max_questions, seed=config.seed
    )
    index = Index(read_nodes(brain / "nodes.jsonl"))
    known = _known_names(brain / "graph.sqlite")
    respondent = _Respondent(
        base_model, adapter=adapter, index=index, max_new_tokens=config.max_new_tokens
    )
    answers: list[Answer] = []
    total = len(questions) * len(config.arms)
    for arm in config.arms:

        def report(done: int, *, arm: Arm = arm, before: int = len(answers)) -> None:
            progress.update(before + done, total, unit="questions", message=arm)
            if progress.stopping:
                raise Interrupted(
                    "stopped while answering",
                    reason=Reason.INTERRUPTED,
                    hint="run the stage again; an evaluation starts over",
                )

        answers.extend(respondent.answer(arm, questions, report=report))
    results = _results(questions, answers, config=config)
    verdict = judge(results, config)
    evaluation = EvaluationReport(
        results=tuple(results),
        unknown_symbols=_unknown_symbols(questions, answers, known=known),
        passed=verdict.passed,
        score=verdict.score,
        reason=verdict.reason,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(evaluation.model_dump_json(indent=2) + "\n")
    lines = "".join(answer.model_dump_json() + "\n" for answer in answers)
    (out / "answers.jsonl").write_text(lines)
    return EvaluationMetrics(
        passed=verdict.passed,
        score=verdict.score,
        base_score=_mean(results, arm="base", metric="recall"),
        abstention=_mean(results, arm="adapter", metric="abstention"),
        over_refusal=_mean(results, arm="adapter", metric="over-refusal"),
        unknown_symbols=evaluation.unknown_symbols.get("adapter", 0.0),
        questions=len(questions),
        seconds=round(time.monotonic() - started, 3),
    )


class _Respondent:
    """Base model and adapter in one: the base is the model with the adapter switched off."""

    def __init__(
        self, base_model: BaseModel, *, adapter: Path, index: Index, max_new_tokens: int
    ) -> None:
        from nanodex.evaluation.attention import attend_to_groups
        from nanodex.evaluation.loading import load_adapter
        from nanodex.models.attention import attending
        from nanodex.models.chat import ChatFormat
        from nanodex.models.loading import load_causal_lm, load_tokenizer
        from nanodex.models.precision import fastest_products

        tokenizer = load_tokenizer(base_model)
        self._chat = ChatFormat(tokenizer)
        base = load_causal_lm(base_model, dtype=fastest_products())
        self._model = load_adapter(attending(base, attend_to_groups), adapter)
        self._stop = _stop_tokens(self._model, tokenizer)
        self._index = index
        self._max_new_tokens = max_new_tokens

    def answer(
        self, arm: Arm, questions: Sequence[Question], *, report: Callable[[int], None]
    ) -> list[Answer]:
        """Return the arm's scored answers, in the order of the questions."""
        from nanodex.evaluation.answers import answer_losses, greedy_answers

        prompts = [self._chat.prompt(self._messages(arm, question)) for question in questions]
        spoken = [i for i, q in enumerate(questions) if q.expected.kind != "continuation"]
        measured = [i for i, q in enumerate(questions) if q.expected.kind == "continuation"]
        answers: dict[int, Answer] = {}
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            report(done)

        off: Any = self._model.disable_adapter if arm.startswith("base") else contextlib.nullcontext
        with off():
            texts = greedy_answers(
                self._model,
                [prompts[i] for i in spoken],
                stop_tokens=self._stop,
                max_new_tokens=self._max_new_tokens,
                batch_size=_BATCH,
                on_batch=count,
            )
            for i, tokens in zip(spoken, texts, strict=True):
                text = self._chat.text(tokens)
                score = score_answer(questions[i], text)
                answers[i] = Answer(question=questions[i].id, arm=arm, text=text, score=score)
            losses = answer_losses(
                self._model,
                [
                    (prompts[i], self._chat.tokens(questions[i].expected.values[0]))
                    for i in measured
                ],
                batch_size=_LOSS_BATCH,
                on_batch=count,
            )
            for i, loss in zip(measured, losses, strict=True):
                answers[i] = Answer(
                    question=questions[i].id, arm=arm, text="", score=round(loss, 6)
                )
        return [answers[i] for i in range(len(questions))]

    def _messages(self, arm: Arm, question: Question) -> Any:
        if not arm.endswith("+retrieval"):
            return question.messages
        found = self._index.find(question.messages[-1].content, limit=_CONTEXT_NODES)
        return with_context(question.messages, [node.summary for node in found])


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    tokens = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*tokens, tokenizer.eos_token_id) if token is not None)


def _known_names(graph_path: Path) -> frozenset[str]:
    graph = load_graph(graph_path)
    known = set(graph.files)
    for node in graph.nodes.values():
        parts = node.qualified_name.replace("::", ".").split(".")
        known.update(".".join(parts[start:]) for start in range(len(parts)))
        known.update((node.name, node.qualified_name, node.value, node.returns, node.path))
    for parameters in graph.parameters.values():
        known.update(parameter.name for parameter in parameters)
    return frozenset(known - {""})


def _results(
    questions: Sequence[Question], answers: Sequence[Answer], *, config: EvaluationConfig
) -> list[SetResult]:
    by_id = {question.id: question for question in questions}
    groups: dict[tuple[Arm, TestSet, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for answer in answers:
        question = by_id[answer.question]
        metric, score = _metric(question, answer)
        groups[answer.arm, question.test_set, metric][question.entity].append(score)
    order = {arm: number for number, arm in enumerate(config.arms)}
    return [
        SetResult(
            arm=arm,
            test_set=test_set,
            metric=metric,
            score=interval(scores, samples=config.bootstrap_samples, seed=config.seed),
        )
        for (arm, test_set, metric), scores in sorted(
            groups.items(), key=lambda item: (item[0][1], item[0][2], order[item[0][0]])
        )
    ]


def _metric(question: Question, answer: Answer) -> tuple[str, float]:
    if question.expected.kind == "continuation":
        return "loss", answer.score
    if question.expected.kind == "absent":
        return "abstention", answer.score
    if question.test_set is TestSet.ABSENT:
        return "over-refusal", float(denies(answer.text))
    return "recall", answer.score


def _unknown_symbols(
    questions: Sequence[Question], answers: Sequence[Answer], *, known: frozenset[str]
) -> dict[str, float]:
    asked = {question.id: question for question in questions}
    by_arm: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for answer in answers:
        question = asked[answer.question]
        if question.test_set is not TestSet.GENERAL:
            by_arm[answer.arm].append((question.messages[-1].content, answer.text))
    return {arm: round(unknown_share(said, known=known), 6) for arm, said in by_arm.items()}


def _mean(results: Sequence[SetResult], *, arm: Arm, metric: str) -> float:
    """Return the mean of the first such result (T1 for recall), 0 where nobody was asked."""
    for result in results:
        if result.arm == arm and result.metric == metric:
            return result.score.mean
    return 0.0
