"""The embedded base model learns twelve invented facts, and the evaluation sees it."""

import sqlite3
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import pytest

from nanodex.api.parameters import EvaluationConfig, LoraParameters, TrainingConfig
from nanodex.api.progress import Silent
from nanodex.api.records import (
    Answer,
    EvaluationReport,
    Expected,
    Message,
    NodeRecord,
    NodeType,
    Question,
    TestSet,
)
from nanodex.evaluation import evaluate
from nanodex.models import BaseModel
from nanodex.trainer import train

WriteDataset: TypeAlias = Callable[[Path, Sequence[tuple[str, str]]], Path]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAMES = ("load_rates", "find_depot", "seal_crate", "DriftError", "TariffTable", "route_parcel")
FOLDERS = ("rates", "yard", "crates", "faults", "tables", "paths")
FACTS = [(name, f"src/{folder}/core.py") for name, folder in zip(NAMES, FOLDERS, strict=True)] + [
    (f"{name}_again" if name.islower() else f"{name}Again", f"lib/{folder}.py")
    for name, folder in zip(NAMES, FOLDERS, strict=True)
]
WORDINGS = ("Where is `{}` defined?", "Which file defines `{}`?", "Path of `{}`?")


def write_brain(folder: Path) -> Path:
    folder.mkdir()
    with sqlite3.connect(folder / "graph.sqlite") as database:
        database.executescript((files("nanodex.graph") / "schema.sql").read_text())
    database.close()
    nodes = [
        NodeRecord(
            id=number,
            qualified_name=name,
            kind="function",
            type=NodeType.CONCEPT,
            rule="rest",
            evidence="",
            summary=f"`{name}` is defined in {path}.",
        )
        for number, (name, path) in enumerate(FACTS)
    ]
    lines = "".join(node.model_dump_json() + "\n" for node in nodes)
    (folder / "nodes.jsonl").write_text(lines)
    return folder


def write_questions(dataset: Path) -> None:
    def question(number: int, test_set: TestSet, asked: str, expected: Expected) -> Question:
        return Question(
            id=f"{test_set}-{number}",
            test_set=test_set,
            entity=asked,
            messages=(
                Message(role="system", content="atlas@1234567"),
                Message(role="user", content=asked),
            ),
            reference="",
            expected=expected,
        )

    questions = [
        question(
            n, TestSet.TRAINED, WORDINGS[0].format(name), Expected(kind="contains", values=(p,))
        )
        for n, (name, p) in enumerate(FACTS)
    ]
    answer = "`load_rates` is defined in src/rates/core.py."
    held_out = Expected(kind="continuation", values=(answer,))
    questions.append(question(0, TestSet.HELD_OUT, WORDINGS[0].format("load_rates"), held_out))
    lines = "".join(question.model_dump_json() + "\n" for question in questions)
    (dataset / "questions.jsonl").write_text(lines)


def test_twelve_facts_are_answered_after_training_and_not_before(
    tmp_path: Path, smollm: BaseModel, write_dataset: WriteDataset
) -> None:
    pairs = [
        (wording.format(name), f"`{name}` is defined in {path}.")
        for name, path in FACTS
        for wording in WORDINGS[:2]
    ]
    dataset = write_dataset(tmp_path / "dataset", pairs)
    write_questions(dataset)
    out = tmp_path / "out"
    train(
        dataset,
        TrainingConfig(
            method="lora",
            lora=LoraParameters(r=16, alpha=32),
            epochs=8,
            learning_rate="2e-3",
            scheduler="linear",
            batch_size=8,
            micro_batch_size=8,
            early_stopping_patience=0,
        ),
        base_model=smollm,
        out=out,
        checkpoints=tmp_path / "checkpoints",
        progress=Silent(),
    )
    metrics = evaluate(
        EvaluationConfig(arms=("base", "base+retrieval", "adapter"), max_new_tokens=32),
        brain=write_brain(tmp_path / "brain"),
        dataset=dataset,
        adapter=out / "adapter",
        base_model=smollm,
        out=tmp_path / "evaluation",
        progress=Silent(),
    )
    assert metrics.passed
    assert metrics.score >= 0.9
    assert metrics.base_score == 0
    text = (tmp_path / "evaluation" / "evaluation.json").read_text()
    report = EvaluationReport.model_validate_json(text)
    recall = {r.arm: r.score.mean for r in report.results if r.metric == "recall"}
    assert recall["base+retrieval"] > recall["base"]
    loss = {r.arm: r.score.mean for r in report.results if r.metric == "loss"}
    assert loss["adapter"] < loss["base"] / 4
    lines = (tmp_path / "evaluation" / "answers.jsonl").read_text().splitlines()
    answers = [Answer.model_validate_json(line) for line in lines]
    assert len(answers) == 3 * 13
    # The answer ends with the end-of-turn token and does not talk on.
    said = {a.text for a in answers if a.arm == "adapter"}
    assert "`load_rates` is defined in src/rates/core.py." in said
