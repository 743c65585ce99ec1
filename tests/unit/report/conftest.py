"""Artifacts of a small run: graph, brain, dataset are made by their stages, the rest by hand."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from nanodex.api.parameters import BrainConfig, DatasetConfig, ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.api.records import (
    AdapterCard,
    Answer,
    CurvePoint,
    EvaluationReport,
    HeldOutPoint,
    Interval,
    ParityPrompt,
    Question,
    SetResult,
    TestSet,
    TrainingRecord,
)
from nanodex.brain import build_brain
from nanodex.dataset import build_dataset
from nanodex.extractor import extract
from nanodex.report import build_report
from nanodex.source import open_folder
from tests.tokens import characters

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"

SAMPLE = Path(__file__).parents[3] / "config" / "samples" / "parcelry"

# Joins the sample, so that text which came all the way from a repository is on the page.
HOSTILE_MODULE = f'''"""Hostile."""


def innocent(pieces: int) -> str:
    """Count pieces {HOSTILE} in words."""
    if pieces > 5:
        raise ValueError("{HOSTILE}")
    return str(pieces)
'''


@dataclass
class Run:
    """Folders of one run; a test changes files before it asks for the page."""

    root: Path

    def page(self, *, extract: bool = True) -> str:
        out = build_report(
            extract=self.root / "extract" if extract else None,
            brain=self.root / "brain", dataset=self.root / "dataset", train=self.root / "train",
            evaluation=self.root / "evaluate", out=self.root / "pages" / "report.html",
        )  # fmt: skip
        return out.read_text(encoding="utf-8")

    def questions(self) -> list[Question]:
        lines = (self.root / "dataset" / "questions.jsonl").read_text().splitlines()
        return [Question.model_validate_json(line) for line in lines]

    def write(self, name: str, *records: BaseModel) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(record.model_dump_json() + "\n" for record in records))


def training(losses: Iterable[float], *, held_out: Iterable[tuple[int, float]] = ()) -> BaseModel:
    curve = tuple(
        CurvePoint(step=step, loss=loss, learning_rate=0.002, gradient_norm=1.0)
        for step, loss in enumerate(losses, start=1)
    )
    return TrainingRecord(
        steps=len(curve), examples=10, dropped=1, epochs=2, shared_prefix_tokens=0, curve=curve,
        held_out=tuple(HeldOutPoint(step=step, loss=loss) for step, loss in held_out),
    )  # fmt: skip


def evaluation(*, passed: bool, reason: str = "") -> BaseModel:
    scores = {"base": 0.05, "adapter": 0.875}
    return EvaluationReport(
        results=tuple(
            SetResult(
                arm=arm, test_set=TestSet.TRAINED, metric="recall",
                score=Interval(mean=mean, low=mean - 0.04, high=mean + 0.04, questions=20),
            )
            for arm, mean in scores.items()
        ),
        unknown_symbols={"base": 0.5, "adapter": 0.1},
        passed=passed, score=0.875, reason=reason,
    )  # fmt: skip


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    repository = root / "parcelry"
    shutil.copytree(SAMPLE, repository)
    (repository / "src" / "parcelry" / "hostile.py").write_text(HOSTILE_MODULE)
    (repository / "notes & <b>.txt").write_text("plain")
    (root / "extract").mkdir()
    graph = root / "extract" / "graph.sqlite"
    extract(
        open_folder(repository), ExtractorConfig(workers=1), out=graph, cache=None,
        progress=Silent(),
    )  # fmt: skip
    build_brain(
        graph, BrainConfig(), out=root / "brain", count_tokens=characters,
        progress=Silent(),
    )  # fmt: skip
    build_dataset(root / "brain", DatasetConfig(), out=root / "dataset", progress=Silent())
    return root


@pytest.fixture
def run(artifacts: Path, tmp_path: Path) -> Run:
    for stage in ("extract", "brain", "dataset"):
        # Tests replace files, they never write into them: a link is as good as a copy.
        (tmp_path / stage).mkdir()
        for file in (artifacts / stage).iterdir():
            (tmp_path / stage / file.name).hardlink_to(file)
    made = Run(tmp_path)
    made.write("train/training.json", training([3.0, 2.0, 1.0], held_out=[(2, 2.5)]))
    made.write(
        "train/adapter/nanodex.json",
        AdapterCard(
            repository="parcelry", system="s", base_model="bundled://tiny",
            base_model_revision="r1", rank=16,
            parity=(ParityPrompt(tokens=(1, 2), logprobs=(-1.0,), base_logprobs=(-1.0,)),),
        ),
    )  # fmt: skip
    made.write("evaluate/evaluation.json", evaluation(passed=True))
    answers: list[Answer] = []
    for question in made.questions():
        answers.append(Answer(question=question.id, arm="base", text=HOSTILE, score=0.0))
        answers.append(
            Answer(question=question.id, arm="adapter", text=question.reference, score=1.0)
        )
    made.write("evaluate/answers.jsonl", *answers)
    return made


@pytest.fixture
def make_training() -> Callable[..., BaseModel]:
    return training


@pytest.fixture
def make_evaluation() -> Callable[..., BaseModel]:
    return evaluation
