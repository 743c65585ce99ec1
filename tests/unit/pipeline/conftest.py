"""Tiny stages that do in milliseconds what the real ones do in minutes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Pinned
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.stages import FILES, UPSTREAM, StageName
from nanodex.artifacts import ObjectStore, open_store
from nanodex.errors import Interrupted
from nanodex.pipeline.stage import Inputs, Need

PINNED = Pinned(commit="a" * 40, base_model_revision="r1")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make_expert(**spec: Any) -> CodeExpert:
    return CodeExpert.model_validate(
        {
            "metadata": {"name": "payments", "namespace": "team-a"},
            "spec": {
                "source": {"git": {"url": "https://example.com/payments.git"}},
                "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
                **spec,
            },
        }
    )


@dataclass
class TinyStage:
    """Writes what it read into each of its files, and remembers that it ran."""

    name: StageName
    ran: list[StageName]
    content: str = ""
    passed: bool = True
    needs: frozenset[Need] = frozenset()

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Mapping[str, Any]:
        self.ran.append(self.name)
        assert set(inputs.artifacts) == set(UPSTREAM[self.name])
        read = {
            name.value: sorted(path.name for path in folder.iterdir())
            for name, folder in inputs.artifacts.items()
        }
        progress.update(1, 1, unit="things", loss=0.5)
        for name in FILES[self.name]:
            path = out / (f"{name}weights.json" if name.endswith("/") else name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"stage": self.name, "read": read, "say": self.content}))
        if self.name is StageName.EVALUATE:
            (out / "evaluation.json").write_text(
                json.dumps(
                    {
                        "results": [
                            {
                                "arm": "adapter",
                                "testSet": "T1",
                                "metric": "contains",
                                "score": {"mean": 0.4, "low": 0.3, "high": 0.5, "questions": 9},
                            }
                        ],
                        "unknownSymbols": {},
                        "passed": self.passed,
                        "score": 0.4,
                        "reason": "" if self.passed else "below minScore 0.60",
                    }
                )
            )
        return {"things": 1, "nested": {"loss": 0.5}}


@dataclass
class Builder:
    """Builds tiny stages; `content` is what extract finds in the repository."""

    content: str = "code"
    passed: bool = True
    ran: list[StageName] = field(default_factory=list)

    def __call__(self, expert: CodeExpert, name: StageName) -> TinyStage:
        content = {
            StageName.EXTRACT: self.content,
            StageName.TRAIN: str(expert.spec.training.epochs),
        }.get(name, "")
        return TinyStage(name, self.ran, content, self.passed)


@dataclass
class CountingStage:
    """Counts to ten, a checkpoint at each number; asked to stop, it stops at the next one."""

    counted: list[int]
    stop_at: int | None = None
    name = StageName.TRAIN
    needs = frozenset({Need.CHECKPOINTS})

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Mapping[str, Any]:
        assert inputs.checkpoints is not None
        steps = [
            int(path.name.removeprefix("step-"))
            for path in inputs.checkpoints.glob("step-*")
            if (path / "complete.json").is_file()
        ]
        for step in range(max(steps, default=0) + 1, 11):
            self.counted.append(step)
            folder = inputs.checkpoints / f"step-{step:06d}"
            folder.mkdir()
            (folder / "state.json").write_text(json.dumps({"step": step}))
            (folder / "complete.json").write_text("{}")
            progress.update(step, 10, unit="steps")
            if step == self.stop_at:
                raise Interrupted("stopped", reason=Reason.INTERRUPTED, hint="go on")
        (out / "adapter").mkdir()
        (out / "adapter/weights.json").write_text("[10]")
        (out / "training.json").write_text("{}")
        return {"steps": 10}


@pytest.fixture
def expert() -> CodeExpert:
    return make_expert()


@pytest.fixture
def with_spec() -> Any:
    """Make an expert with other sections in its spec."""
    return make_expert


@pytest.fixture
def tiny_builder() -> type[Builder]:
    return Builder


@pytest.fixture
def counting_stage() -> type[CountingStage]:
    return CountingStage


@pytest.fixture
def pinned() -> Pinned:
    return PINNED
