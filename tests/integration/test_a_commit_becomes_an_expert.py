"""The whole pipeline on the demo's repository and the embedded model, then real vLLM.

Small on purpose: some twenty facts, one epoch. What the demo learns is the demo's to show; here it
is that every part works with the next one and that only what changed runs again.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.code_expert import CodeExpert
from nanodex.api.parameters import InferenceConfig
from nanodex.api.records import Question, TestSet
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store
from nanodex.cli.serving import served
from nanodex.cli.single_stage import cache_folder
from nanodex.config import config_folder
from nanodex.inference import ask, running_server
from nanodex.models import resolve_base_model
from nanodex.pipeline import RunReport, Workspace, find_upstream, pin, run_expert
from nanodex.report import build_report

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("expert")


@pytest.fixture(scope="module")
def cache(folder: Path) -> Path:
    """A cache of its own, but for the converted base model, which takes a minute to make."""
    own, shared = folder / "cache", cache_folder(None)
    shared.mkdir(parents=True, exist_ok=True)
    (shared / "models").mkdir(exist_ok=True)
    own.mkdir()
    (own / "models").symlink_to(shared / "models")
    return own


@pytest.fixture(scope="module")
def repository(folder: Path) -> Path:
    repository = folder / "parcelry"
    shutil.copytree(config_folder() / "samples" / "parcelry", repository)
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return repository


def expert(repository: Path, *, epochs: int = 1) -> CodeExpert:
    spec: dict[str, Any] = {
        "source": {"git": {"url": repository.as_uri()}},
        "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
        "dataset": {"maxFacts": 24, "formsPerFact": 8},
        "training": {
            "method": "lora",
            "epochs": epochs,
            "learningRate": "2e-3",
            "scheduler": "linear",
            "batchSize": 8,
        },
        "evaluation": {
            "arms": ["base", "adapter"],
            "maxQuestions": 8,
            "maxNewTokens": 24,
            "minScore": "0.0",
            "mustBeatBase": False,
        },
    }
    return CodeExpert.model_validate({"metadata": {"name": "parcelry"}, "spec": spec})


@pytest.fixture(scope="module")
def first(repository: Path, folder: Path, cache: Path) -> RunReport:
    return run_expert(expert(repository), store=open_store(str(folder / "store")), cache=cache)


def test_every_stage_leaves_a_verified_artifact(first: RunReport) -> None:
    assert [result.stage for result in first.stages] == list(StageName)
    assert not any(result.cached for result in first.stages)
    assert all(result.digest.startswith("sha256:") for result in first.stages)


def test_a_second_run_finds_everything(
    first: RunReport, repository: Path, folder: Path, cache: Path
) -> None:
    again = run_expert(expert(repository), store=open_store(str(folder / "store")), cache=cache)
    assert all(result.cached for result in again.stages)
    assert again.evaluation == first.evaluation


def test_another_number_of_epochs_reuses_graph_brain_and_dataset(
    first: RunReport, repository: Path, folder: Path, cache: Path
) -> None:
    other = expert(repository, epochs=2)
    found = find_upstream(
        other, StageName.TRAIN, store=open_store(str(folder / "store")), pinned=pin(other)
    )
    assert {stage: manifest.digest for stage, manifest in found.items()} == {
        result.stage: result.digest for result in first.stages[:3]
    }


def test_the_report_page_is_made_of_what_the_run_left(
    first: RunReport, folder: Path, cache: Path
) -> None:
    store = open_store(str(folder / "store"))
    places = {
        result.stage: Workspace(cache).artifact(result.manifest, store=store)
        for result in first.stages
    }
    page = build_report(
        extract=places[StageName.EXTRACT],
        brain=places[StageName.BRAIN],
        dataset=places[StageName.DATASET],
        train=places[StageName.TRAIN],
        evaluation=places[StageName.EVALUATE],
        out=folder / "report.html",
    ).read_text(encoding="utf-8")
    assert "parcelry" in page
    assert "<svg" in page


def test_the_expert_answers_through_vllm_otherwise_than_the_base_model(
    first: RunReport, repository: Path, folder: Path, cache: Path
) -> None:
    one, store = expert(repository), open_store(str(folder / "store"))
    dataset = Workspace(cache).artifact(first.stage(StageName.DATASET).manifest, store=store)
    lines = (dataset / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [Question.model_validate_json(line) for line in lines]
    asked = next(one for one in questions if one.test_set is TestSet.TRAINED)
    system, question = asked.messages[0].content, asked.messages[1].content
    with running_server(
        InferenceConfig(port=0),
        base_model=resolve_base_model(one.spec.base_model, cache=cache).path,
        experts=[served(one, store=store, cache=cache)],
        state=folder / "server",
    ) as server:
        assert server.models[:2] == ("base", "default/parcelry")
        # The parity check passed: what vLLM computes is what training left.
        assert not server.quarantined
        answer = "".join(ask(server.url, "default/parcelry", question, max_tokens=24))
        base = "".join(ask(server.url, "base", question, system=system, max_tokens=24))
    assert answer
    assert answer != base
