"""The stage itself: facts, proofs, curriculum, examples and questions, in that order."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from nanodex.api.base import Contract
from nanodex.api.parameters import DatasetConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import DatasetCard, Example, Fact, NodeRecord, Question, TestSet
from nanodex.dataset.curriculum import Curriculum, plan_curriculum
from nanodex.dataset.draw import Draw
from nanodex.dataset.examples import write_examples
from nanodex.dataset.facts import Claim, FactCollector
from nanodex.dataset.licences import find_licences
from nanodex.dataset.naming import Names
from nanodex.dataset.negatives import Absentees
from nanodex.dataset.neutrality import template_auc
from nanodex.dataset.qa_generator import QaGenerator
from nanodex.dataset.secrets import looks_secret, value_is_secret
from nanodex.dataset.sites import raise_claims, usage_claims
from nanodex.dataset.test_sets import QuestionWriter
from nanodex.dataset.topics import TopicTable, make_topics
from nanodex.dataset.validators import Prover, prompt_of
from nanodex.errors import UserError
from nanodex.graph.reader import Graph, load_graph

_SNAPSHOT_IN_SYSTEM = 7
_SNAPSHOT_IN_CARD = 12


class DatasetMetrics(Contract):
    """Figures of one dataset."""

    facts_proven: int
    facts_trained: int
    topics: int
    train: int
    validation: int
    negatives: int
    questions: dict[str, int]
    dropped: dict[str, int]
    template_auc: float


def build_dataset(
    brain: Path, config: DatasetConfig, *, out: Path, progress: Progress
) -> DatasetMetrics:
    """Write train.jsonl, validation.jsonl, questions.jsonl, facts.jsonl and dataset.json.

    Equal brains and parameters give equal bytes.

    Args:
        brain: folder of the brain stage: graph.sqlite and nodes.jsonl.
        config: what is asked, how often, and what is kept for the test.
        out: folder to write to; made where it is missing.
        progress: told about each topic.

    Raises:
        UserError: the brain is damaged, or holds no fact that its source proves.
        Interrupted: `progress.stopping` was seen.
    """
    graph = load_graph(brain / "graph.sqlite")
    records = read_records(brain / "nodes.jsonl")
    dropped: Counter[str] = Counter()
    draw = Draw(config.seed)
    names = Names(graph)
    collector = FactCollector(
        graph, names=names, records=records, min_confidence=float(config.min_confidence)
    )
    table = collect_topics(collector, dropped)
    curriculum = plan_curriculum(graph, table, config, draw=draw)
    if not curriculum.atomic:
        raise UserError(
            f"the source of {graph.meta.get('repository', 'the repository')} proves no fact",
            reason=Reason.NOTHING_TO_LEARN,
            hint="check include, exclude, subPath and languages, or raise dataset.maxFacts",
        )
    system = f"{_meta(graph, 'repository')}@{_meta(graph, 'snapshot')[:_SNAPSHOT_IN_SYSTEM]}"
    generator = QaGenerator(
        system=system,
        table=table,
        absentees=Absentees(
            graph, contents=collector.contents, names=names, table=table, draw=draw
        ),
        draw=draw,
        hidden=curriculum.split.hidden,
    )
    # The questions come first: absent names are given out once, and the test has its own.
    questions = _questions(
        curriculum, QuestionWriter(system=system, generator=generator, draw=draw)
    )
    examples = write_examples(
        curriculum, config, generator=generator, draw=draw, progress=progress, dropped=dropped
    )
    dropped["NearDuplicateEntities"] = curriculum.split.near_duplicates
    questions = _unseen(questions, examples, dropped)
    facts = sorted(
        {fact.id: fact for topic in table.topics for fact in topic.facts}.values(),
        key=lambda fact: (fact.subject, fact.predicate, fact.object),
    )
    taught = {fact for example in examples for fact in example.meta.facts}
    card = DatasetCard(
        system=system,
        repository=_meta(graph, "repository"),
        snapshot=_meta(graph, "snapshot")[:_SNAPSHOT_IN_CARD],
        facts=len(taught),
        examples=sum(example.meta.split == "train" for example in examples),
        counts=_counts(examples, questions),
        dropped={reason: number for reason, number in sorted(dropped.items()) if number},
        licences=find_licences(graph),
    )
    _write(out, examples=examples, questions=questions, facts=facts, card=card)
    return DatasetMetrics(
        facts_proven=len(facts),
        facts_trained=len(taught),
        topics=len(curriculum.trained),
        train=card.examples,
        validation=len(examples) - card.examples,
        negatives=sum(example.meta.polarity == "negative" for example in examples),
        questions=card.counts["testSet"],
        dropped=card.dropped,
        template_auc=round(
            template_auc([example for example in examples if example.meta.split == "train"]), 4
        ),
    )


def read_records(path: Path) -> dict[int, NodeRecord]:
    """Return the lines of nodes.jsonl by node id.

    Raises:
        UserError: the file is missing or something else.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            records = [NodeRecord.model_validate_json(line) for line in lines]
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not the nodes.jsonl of a brain: {error}"[:500],
            reason=Reason.INVALID_INPUT,
            hint="make it again with `nanodex stage brain`",
        ) from error
    return {record.id: record for record in records}


def _meta(graph: Graph, key: str) -> str:
    try:
        return graph.meta[key]
    except KeyError:
        raise UserError(
            f"the graph does not name its {key}",
            reason=Reason.INVALID_INPUT,
            hint="make it again with `nanodex extract`",
        ) from None


def collect_topics(collector: FactCollector, dropped: Counter[str]) -> TopicTable:
    """Collect the claims of every subject and keep what is proven and no secret."""
    graph = collector.graph
    prover = Prover(graph, contents=collector.contents)
    subjects = list(collector.subjects())
    claims: list[Claim] = []
    for node in subjects:
        for claim in (
            *collector.claims(node),
            *raise_claims(graph, node),
            *usage_claims(collector, node),
        ):
            text = claim.fact.object
            if looks_secret(text) or (claim.family == "value" and value_is_secret(node.name, text)):
                dropped["Secret"] += 1
            elif not prover.proves(claim):
                dropped[f"NotProven:{claim.family}"] += 1
            else:
                claims.append(claim)
    labels = collector.names.labels()
    return make_topics(
        claims,
        labels=labels,
        usefulness={node.id: collector.usefulness(node) for node in subjects},
        dropped=dropped,
    )


def _questions(curriculum: Curriculum, writer: QuestionWriter) -> list[Question]:
    return [
        *writer.trained(curriculum.atomic),
        *writer.text_only(curriculum.told),
        *writer.two_hop(curriculum.tested_chains),
        *writer.absent(curriculum.atomic),
        *writer.held_out(curriculum.held_out),
        *writer.general(),
    ]


def _unseen(
    questions: Iterable[Question], examples: Iterable[Example], dropped: Counter[str]
) -> list[Question]:
    """Drop questions whose prompt stands in the training set, whatever the wording it came from."""
    seen = {prompt_of(example.messages) for example in examples}
    kept = []
    for question in questions:
        if prompt_of(question.messages) in seen:
            dropped["QuestionSeenInTraining"] += 1
        else:
            kept.append(question)
    return kept


def _counts(
    examples: Iterable[Example], questions: Iterable[Question]
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("category", "genre", "polarity", "predicate", "split")
    }
    for example in examples:
        for name, counter in counts.items():
            counter[str(getattr(example.meta, name))] += 1
    counts["testSet"] = Counter({str(test_set): 0 for test_set in TestSet})
    counts["testSet"].update(str(question.test_set) for question in questions)
    return {name: dict(sorted(counter.items())) for name, counter in counts.items()}


def _write(
    out: Path,
    *,
    examples: Iterable[Example],
    questions: Iterable[Question],
    facts: Iterable[Fact],
    card: DatasetCard,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    examples = list(examples)
    _write_lines(out / "train.jsonl", (e for e in examples if e.meta.split == "train"))
    _write_lines(out / "validation.jsonl", (e for e in examples if e.meta.split == "validation"))
    _write_lines(out / "questions.jsonl", questions)
    _write_lines(out / "facts.jsonl", facts)
    temporary = out / "dataset.json.tmp"
    temporary.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, out / "dataset.json")


def _write_lines(path: Path, records: Iterable[Contract]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(record.model_dump_json() + "\n" for record in records)
    os.replace(temporary, path)
