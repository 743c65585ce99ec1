"""`resolve` and `stage` as a Job runs them: the operator's answers in, one last word out."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned, identify
from nanodex.api.manifest import TerminationMessage
from nanodex.api.stages import StageName, Task
from nanodex.artifacts import find, open_store
from nanodex.cli import app

IMAGES = Images(nanodex="registry.example/nanodex:1", trainer="registry.example/trainer:1")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "lamp.py").write_text("def light():\n    return 1\n", encoding="utf-8")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        (*identity, "commit", "--quiet", "-m", "light"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def expert(tmp_path: Path, repository: Path) -> Path:
    path = tmp_path / "expert.json"
    path.write_text(json.dumps(resource(repository)), encoding="utf-8")
    return path


def resource(repository: Path, *, branch: str = "main") -> dict[str, Any]:
    git = {"url": repository.as_uri(), "ref": {"branch": branch}}
    return {
        "metadata": {"name": "lamp", "namespace": "team-a"},
        "spec": {
            "source": {"git": git},
            "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
            "extract": {"workers": 1},
        },
    }


def call(*arguments: str | Path) -> tuple[int, TerminationMessage]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, TerminationMessage.model_validate_json(result.stdout)


def head(repository: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(
        command, cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_resolve_says_commit_and_revision_in_its_last_word(
    expert: Path, repository: Path, tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    exit_code, message = call("resolve", "--expert", expert, "--termination-message", log)
    assert exit_code == 0
    assert message.stage is Task.RESOLVE
    assert message.metrics["commit"] == head(repository)
    assert len(str(message.metrics["baseModelRevision"])) == 40
    assert TerminationMessage.model_validate_json(log.read_bytes()) == message


def test_resolve_names_a_branch_that_is_not_there(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "expert.json"
    path.write_text(json.dumps(resource(repository, branch="gone")), encoding="utf-8")
    exit_code, message = call("resolve", "--expert", path)
    assert (exit_code, message.reason) == (11, "RefNotFound")
    assert message.stage is Task.RESOLVE


def test_a_stage_publishes_under_the_key_that_the_operator_computed(
    expert: Path, repository: Path, tmp_path: Path
) -> None:
    pinned = Pinned(commit=head(repository), base_model_revision="r1", images=IMAGES)
    wanted = CodeExpert.model_validate_json(expert.read_bytes())
    key = identify(wanted, StageName.EXTRACT, pinned=pinned, upstream={}).key
    arguments = (
        "stage", "extract", "--expert", expert, "--store", tmp_path / "store",
        "--cache", tmp_path / "cache", "--commit", pinned.commit,
        "--base-model-revision", pinned.base_model_revision,
        "--nanodex-image", IMAGES.nanodex, "--trainer-image", IMAGES.trainer,
    )  # fmt: skip
    exit_code, message = call(*arguments, "--key", "0" * 64)
    assert exit_code == 10
    assert "versions that do not fit together" in message.hint
    exit_code, message = call(*arguments, "--key", key)
    assert (exit_code, message.key) == (0, key)
    store = open_store(str(tmp_path / "store"))
    found = find(store, scope="team-a", stage=StageName.EXTRACT, key=key)
    assert found is not None
    assert found.image == IMAGES.nanodex


@pytest.mark.parametrize(
    "given",
    [
        ("--commit", "a" * 40),
        ("--base-model-revision", "r1"),
        ("--commit", "main", "--base-model-revision", "r1"),
    ],
)
def test_half_an_answer_is_refused(expert: Path, tmp_path: Path, given: tuple[str, ...]) -> None:
    exit_code, message = call(
        "stage", "extract", "--expert", expert, "--store", tmp_path / "store", *given
    )
    assert exit_code == 10
    assert "belong together" in message.message
