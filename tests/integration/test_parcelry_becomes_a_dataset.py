"""The demo repository, in four languages, through extract, brain and dataset."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.parameters import BrainConfig, DatasetConfig, ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.api.records import DatasetCard, Example, Predicate, Question, TestSet
from nanodex.brain import build_brain
from nanodex.dataset import build_dataset
from nanodex.extractor import extract
from nanodex.source import open_folder
from tests.tokens import characters

pytestmark = pytest.mark.integration

PARCELRY = Path(__file__).parents[2] / "config" / "samples" / "parcelry"


def read(path: Path, record: Any) -> list[Any]:
    return [record.model_validate_json(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parcelry")
    graph = folder / "graph.sqlite"
    extract(open_folder(PARCELRY), ExtractorConfig(), out=graph, cache=None, progress=Silent())
    build_brain(
        graph, BrainConfig(), out=folder / "brain", count_tokens=characters, progress=Silent()
    )
    return folder / "brain"


@pytest.fixture(scope="module")
def dataset(brain: Path) -> Path:
    out = brain.parent / "dataset"
    config = DatasetConfig(max_facts=160, forms_per_fact=8)
    build_dataset(brain, config, out=out, progress=Silent())
    return out


def test_about_a_hundred_and_fifty_facts_are_trained_in_eight_wordings(dataset: Path) -> None:
    card = DatasetCard.model_validate_json((dataset / "dataset.json").read_text("utf-8"))
    assert 140 <= card.facts <= 200
    assert re.fullmatch(r"parcelry@[0-9a-f]{7}", card.system)
    assert 1200 <= card.examples <= 1800
    assert card.licences == {"LICENSE": "Apache-2.0"}


def test_a_sample_is_short(dataset: Path) -> None:
    examples = read(dataset / "train.jsonl", Example)
    letters = sum(len(m.content) for example in examples for m in example.messages)
    assert letters / len(examples) < 160


def test_every_predicate_and_category_is_taught(dataset: Path) -> None:
    examples = read(dataset / "train.jsonl", Example)
    assert {example.meta.predicate for example in examples} == set(Predicate)
    assert len({example.meta.category for example in examples}) == 5


def test_all_test_sets_have_questions(dataset: Path) -> None:
    questions = read(dataset / "questions.jsonl", Question)
    counts = Counter(question.test_set for question in questions)
    assert counts[TestSet.TRAINED] >= 100
    assert counts[TestSet.ABSENT] >= 110
    assert counts[TestSet.GENERAL] == 20
    assert min(counts[test_set] for test_set in TestSet) >= 5


def test_a_commit_that_changes_no_file_changes_no_example(brain: Path, dataset: Path) -> None:
    again = brain.parent / "again"
    config = DatasetConfig(max_facts=160, forms_per_fact=8)
    build_dataset(brain, config, out=again, progress=Silent())
    for path in dataset.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
