"""The real extract stage on a real repository: equal files give an equal graph; nothing follows."""

import subprocess
from pathlib import Path

import pytest

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Pinned, identify
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store
from nanodex.pipeline import run_one
from nanodex.source.repository import resolve

pytestmark = pytest.mark.integration


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=repository,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "payments"
    (folder / "src").mkdir(parents=True)
    (folder / "src/fees.py").write_text('RATE = 3\n\n\ndef fee(amount):\n    """Add RATE."""\n')
    (folder / "CHANGES").write_text("1\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def test_it_reruns_extract_alone(repository: Path, s3_location: str, tmp_path: Path) -> None:
    expert = CodeExpert.model_validate(
        {
            "metadata": {"name": "payments", "namespace": "team-a"},
            "spec": {
                "source": {"git": {"url": repository.as_uri(), "include": ["src/**"]}},
                "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
            },
        }
    )
    brain_keys, digests, cached = [], [], []
    for text in ("1\n", "2\n", "2\n"):
        (repository / "CHANGES").write_text(text)
        git(repository, "commit", "--quiet", "--all", "--allow-empty", "--message=next")
        pinned = Pinned(commit=resolve(expert.spec.source.git), base_model_revision="r1")
        for _ in range(2):
            result = run_one(
                expert,
                StageName.EXTRACT,
                store=open_store(s3_location),
                cache=tmp_path / "cache",
                pinned=pinned,
            )
            cached.append(result.cached)
        digests.append(result.digest)
        upstream = {StageName.EXTRACT: result.digest}
        brain_keys.append(identify(expert, StageName.BRAIN, pinned=pinned, upstream=upstream).key)
    assert cached == [False, True] * 3
    assert len(set(digests)) == 1
    assert len(set(brain_keys)) == 1

    (repository / "src/fees.py").write_text("RATE = 4\n")
    git(repository, "commit", "--quiet", "--all", "--message=learned")
    pinned = Pinned(commit=resolve(expert.spec.source.git), base_model_revision="r1")
    store = open_store(s3_location)
    changed = run_one(
        expert, StageName.EXTRACT, store=store, cache=tmp_path / "cache", pinned=pinned
    )
    assert changed.digest not in digests
