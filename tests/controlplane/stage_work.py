"""What the Pods of the stages do in these tests: they publish with the product's own code."""

import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode
from nanodex.api.stages import FILES, StageName, Task
from nanodex.artifacts import open_store, publish
from tests.controlplane.api import Object
from tests.controlplane.node import EXPERT_LABEL, STAGE_LABEL

FIRST_COMMIT = "1" * 40
# The schema's default of evaluation.gate.minScore.
_THRESHOLD = 0.6


@dataclass
class StageWork:
    """The world that the stages see: repositories, a base model, a store.

    Attributes:
        store: `s3://bucket/prefix`.
        commits: what the ref of a CodeExpert means now, where it is not FIRST_COMMIT.
        scores: what the evaluation of a CodeExpert finds, where it is not 0.7.
        runs: what has run: CodeExpert, task and Job, in order.
    """

    store: str
    commits: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    runs: list[tuple[str, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, pod: Object) -> str:
        """Do the work of one Pod; returns its termination message."""
        labels = pod["metadata"]["labels"]
        expert, task = labels[EXPERT_LABEL], Task(labels[STAGE_LABEL])
        job = labels["batch.kubernetes.io/job-name"]
        with self._lock:
            self.runs.append((expert, task.value, job))
        if task is Task.RESOLVE:
            commit = self.commits.get(expert, FIRST_COMMIT)
            return _last_word(task, metrics={"commit": commit, "baseModelRevision": "r1"})
        arguments = arguments_of(pod)
        assert arguments["store"] == self.store
        stage, key = StageName(task), arguments["key"]
        metrics = self._metrics(stage, expert)
        with tempfile.TemporaryDirectory() as folder:
            for name in FILES[stage]:
                path = Path(folder) / (f"{name}card.json" if name.endswith("/") else name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(f"{stage} of {key}")
            published = publish(
                Path(folder),
                store=open_store(self.store),
                stage=stage,
                key=key,
                scope=pod["metadata"]["namespace"],
                metrics=metrics,
            )
        return _last_word(task, key=key, digest=published.manifest.digest)

    def tasks(self, expert: str) -> list[str]:
        """Return the tasks of a CodeExpert that have run, in order."""
        with self._lock:
            return [task for name, task, _ in self.runs if name == expert]

    def jobs(self, expert: str) -> list[str]:
        """Return the Jobs of a CodeExpert whose Pods have run, in order."""
        with self._lock:
            return [job for name, _, job in self.runs if name == expert]

    def _metrics(self, stage: StageName, expert: str) -> dict[str, float | bool]:
        if stage is StageName.TRAIN:
            return {"loss": 0.25}
        if stage is StageName.EVALUATE:
            score = self.scores.get(expert, 0.7)
            return {"score": score, "passed": score >= _THRESHOLD}
        return {"files": 3}


def arguments_of(pod: Object) -> dict[str, str]:
    """Return the options that the stage is called with."""
    [container] = pod["spec"]["containers"]
    split = (word.removeprefix("--").split("=", 1) for word in container["args"])
    return {name: value.replace("$$", "$") for name, value in split}


def _last_word(task: Task, **fields: object) -> str:
    message = TerminationMessage.model_validate(
        {"stage": task, "exit_code": ExitCode.DONE} | fields
    )
    return message.encode().decode()
