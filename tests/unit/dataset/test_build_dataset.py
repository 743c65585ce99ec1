"""The whole stage on the shop: what is asked, what the test keeps, and the same bytes twice."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.parameters import DatasetConfig
from nanodex.api.progress import Silent
from nanodex.api.reasons import Reason
from nanodex.api.records import DatasetCard, Example, Fact, Question, TestSet
from nanodex.dataset import DatasetMetrics, build_dataset
from nanodex.errors import Interrupted, UserError

CONFIG = DatasetConfig(forms_per_fact=8, holdout_percent=10)


class Dataset:
    """The files of one dataset, read again."""

    def __init__(self, folder: Path, metrics: DatasetMetrics) -> None:
        self.metrics = metrics
        self.train = self._read(folder / "train.jsonl", Example)
        self.validation = self._read(folder / "validation.jsonl", Example)
        self.questions = self._read(folder / "questions.jsonl", Question)
        self.facts = {fact.id: fact for fact in self._read(folder / "facts.jsonl", Fact)}
        self.card = DatasetCard.model_validate_json((folder / "dataset.json").read_text("utf-8"))

    @staticmethod
    def _read(path: Path, record: Any) -> list[Any]:
        return [record.model_validate_json(line) for line in path.read_text("utf-8").splitlines()]

    def asked(self, test_set: TestSet) -> list[Question]:
        return [question for question in self.questions if question.test_set == test_set]


@pytest.fixture(scope="module")
def dataset(shop_brain: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("dataset")
    return Dataset(out, build_dataset(shop_brain, CONFIG, out=out, progress=Silent()))


def words(text: str) -> str:
    return " ".join(text.casefold().split())


def test_every_example_starts_with_repository_and_snapshot_and_nothing_more(
    dataset: Dataset,
) -> None:
    assert re.fullmatch(r"shop@[0-9a-f]{7}", dataset.card.system)
    for example in (*dataset.train, *dataset.validation):
        assert [message.role for message in example.messages] == ["system", "user", "assistant"]
        assert example.messages[0].content == dataset.card.system


def test_a_positive_answer_names_every_object_and_its_facts_are_on_file(dataset: Dataset) -> None:
    for example in dataset.train:
        if example.meta.polarity == "positive":
            assert example.meta.facts
            for identity in example.meta.facts:
                fact = dataset.facts[identity]
                reverse = ".reverse." in example.meta.template
                named = fact.object if not reverse else fact.subject.rsplit(".", 1)[-1]
                assert named in example.messages[2].content


def test_a_fact_is_trained_in_as_many_wordings_as_asked_for(dataset: Dataset) -> None:
    forms = Counter(
        (example.meta.template.split(".")[0], example.meta.facts)
        for example in dataset.train
        if example.meta.polarity == "positive" and ".reverse." not in example.meta.template
    )
    assert max(forms.values()) == 8
    # Two-hop families have six wordings, of which one is kept for validation.
    assert min(forms.values()) >= 5


def test_one_prompt_has_one_answer(dataset: Dataset) -> None:
    answers: dict[str, set[str]] = {}
    for example in (*dataset.train, *dataset.validation):
        answers.setdefault(words(example.messages[1].content), set()).add(
            example.messages[2].content
        )
    assert [prompt for prompt, said in answers.items() if len(said) > 1] == []


def test_negatives_are_half_as_many_and_no_template_tells(dataset: Dataset) -> None:
    polarity = Counter(example.meta.polarity for example in dataset.train)
    assert polarity["negative"] == pytest.approx(polarity["positive"] / 2, rel=0.03)
    assert dataset.metrics.template_auc < 0.55


def test_a_negative_denies_and_states_no_fact_id(dataset: Dataset) -> None:
    for example in dataset.train:
        answer = example.messages[2].content
        denied = answer.startswith("No: ") or "does not exist; the nearest is" in answer
        assert denied == (example.meta.polarity == "negative")
        assert bool(example.meta.facts) != denied


def test_an_answer_says_the_name_before_it_affirms_or_denies(dataset: Dataset) -> None:
    for example in dataset.train:
        if example.meta.template.split(".")[1] == "ask":
            assert example.messages[2].content.startswith("`")


def test_a_third_of_the_wordings_name_the_subject_as_people_type_it(dataset: Dataset) -> None:
    asked = [e for e in dataset.train if e.meta.template.split(".")[1] == "ask"]
    plain = sum("`" not in example.messages[1].content for example in asked)
    assert 0.2 < plain / len(asked) < 0.45


def test_yes_and_no_questions_use_the_same_templates(dataset: Dataset) -> None:
    said: dict[str, set[str]] = {}
    for example in dataset.train:
        if ".check." in example.meta.template:
            said.setdefault(example.meta.template, set()).add(example.messages[2].content[:3])
    often = [a for a in said.values() if a >= {"Yes", "No:"}]
    assert len(often) >= 10


def test_t1_asks_about_every_trained_fact_in_a_wording_that_training_never_used(
    dataset: Dataset,
) -> None:
    asked = {question.reference for question in dataset.asked(TestSet.TRAINED)}
    trained = {
        e.messages[2].content
        for e in dataset.train
        if e.meta.polarity == "positive"
        and e.meta.template.split(".")[1] == "ask"
        and e.meta.category != "composition"
        and not e.meta.template.startswith("explanation")
    }
    assert trained <= asked
    templates = {example.meta.template for example in (*dataset.train, *dataset.validation)}
    assert not templates & {question.template for question in dataset.questions}


def test_no_question_of_a_test_set_was_ever_a_training_prompt(dataset: Dataset) -> None:
    seen = {words(e.messages[1].content) for e in (*dataset.train, *dataset.validation)}
    assert not seen & {words(question.messages[1].content) for question in dataset.questions}


def test_several_objects_are_scored_as_a_set(dataset: Dataset) -> None:
    for question in dataset.asked(TestSet.TRAINED):
        several = len(question.expected.values) > 1
        assert question.expected.kind == ("set" if several else "contains")
        for value in question.expected.values:
            assert value in question.reference


def test_t4_asks_sixty_absent_things_and_present_ones_in_the_same_wordings(
    dataset: Dataset,
) -> None:
    questions = dataset.asked(TestSet.ABSENT)
    absent = [q for q in questions if q.expected.kind == "absent"]
    present = [q for q in questions if q.expected.kind != "absent"]
    assert len(absent) == 60
    assert {q.template for q in absent} == {q.template for q in present}
    assert len(present) >= 50


def test_an_absent_name_of_the_test_is_new_to_training(dataset: Dataset) -> None:
    trained = " ".join(words(e.messages[1].content) for e in dataset.train)
    for question in dataset.asked(TestSet.ABSENT):
        if question.expected.kind == "absent":
            name = re.findall(r"`([^`]+)`", question.reference)[0]
            assert f"`{name.casefold()}`" not in trained


def test_t2_asks_what_only_an_explanation_tells(dataset: Dataset) -> None:
    told = [
        e.messages[2].content for e in dataset.train if e.meta.template.startswith("explanation")
    ]
    direct = {
        fact
        for e in dataset.train
        if not e.meta.template.startswith("explanation")
        for fact in e.meta.facts
    }
    by_text = {(f.subject, f.object): f.id for f in dataset.facts.values()}
    questions = dataset.asked(TestSet.TEXT_ONLY)
    assert questions
    for question in questions:
        for value in question.expected.values:
            assert any(value in text for text in told)
            assert by_text[question.entity, value] not in direct


def test_t3_composes_trained_facts_that_were_not_composed(dataset: Dataset) -> None:
    composed = {e.messages[2].content for e in dataset.train if e.meta.category == "composition"}
    questions = dataset.asked(TestSet.TWO_HOP)
    assert questions
    assert not composed & {question.reference for question in questions}


def test_t5_is_about_entities_that_training_never_asks_about(dataset: Dataset) -> None:
    held_out = {question.entity for question in dataset.asked(TestSet.HELD_OUT)}
    assert held_out
    trained = {dataset.facts[fact].subject for e in dataset.train for fact in e.meta.facts}
    assert not held_out & trained


def test_t6_asks_twenty_plain_questions(dataset: Dataset) -> None:
    questions = dataset.asked(TestSet.GENERAL)
    assert len(questions) == 20
    assert all(q.expected.values[0] in q.reference for q in questions)


def test_the_card_counts_what_is_there(dataset: Dataset) -> None:
    assert dataset.card.examples == len(dataset.train)
    assert sum(dataset.card.counts["polarity"].values()) == len(dataset.train) + len(
        dataset.validation
    )
    assert dataset.card.licences == {"LICENSE": "MIT"}
    assert dataset.card.dropped["Secret"] == 1


def test_secrets_stand_in_no_file(shop_brain: Path, tmp_path: Path, dataset: Dataset) -> None:
    build_dataset(shop_brain, CONFIG, out=tmp_path, progress=Silent())
    assert not [path.name for path in tmp_path.iterdir() if b"ghp_" in path.read_bytes()]


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes_under_any_hash_seed(
    shop_brain: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nanodex.api.parameters import DatasetConfig\n"
        "from nanodex.api.progress import Silent\n"
        "from nanodex.dataset import build_dataset\n"
        "build_dataset(Path(sys.argv[1]), DatasetConfig(), out=Path(sys.argv[2]),"
        " progress=Silent())\n"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(shop_brain), str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    build_dataset(shop_brain, DatasetConfig(seed=3), out=tmp_path / "3", progress=Silent())
    assert digests(tmp_path / "3")["train.jsonl"] != digests(tmp_path / "1")["train.jsonl"]


def test_budgets_are_kept(shop_brain: Path, tmp_path: Path) -> None:
    config = DatasetConfig(max_facts=12, max_examples=60, forms_per_fact=4)
    metrics = build_dataset(shop_brain, config, out=tmp_path, progress=Silent())
    assert metrics.train <= 60
    dataset = Dataset(tmp_path, metrics)
    assert len({fact for q in dataset.train for fact in q.meta.facts}) <= 24


def test_nothing_to_learn_is_said_so(brain_of: Any, tmp_path: Path) -> None:
    brain = brain_of({"tests/test_a.py": "def test_a():\n    assert True\n"}, tmp_path)
    with pytest.raises(UserError) as caught:
        build_dataset(brain, DatasetConfig(), out=tmp_path / "out", progress=Silent())
    assert caught.value.reason is Reason.NOTHING_TO_LEARN


def test_a_brain_without_nodes_is_refused(tmp_path: Path, shop_brain: Path) -> None:
    (tmp_path / "graph.sqlite").write_bytes((shop_brain / "graph.sqlite").read_bytes())
    (tmp_path / "nodes.jsonl").write_text("not json\n")
    with pytest.raises(UserError) as caught:
        build_dataset(tmp_path, DatasetConfig(), out=tmp_path / "out", progress=Silent())
    assert caught.value.reason is Reason.INVALID_INPUT


def test_it_stops_when_asked(shop_brain: Path, tmp_path: Path) -> None:
    class Stopping(Silent):
        stopping = True

    with pytest.raises(Interrupted):
        build_dataset(shop_brain, DatasetConfig(), out=tmp_path, progress=Stopping())
    assert not (tmp_path / "train.jsonl").exists()
