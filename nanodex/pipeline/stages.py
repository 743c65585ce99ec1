"""The five stages: adapters from the packages' functions to `nanodex.pipeline.stage.Stage`.

Each imports its package when it runs: training needs torch, and `nanodex --help` should not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import evaluation_config, training_config
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    TrainingConfig,
)
from nanodex.api.progress import Progress
from nanodex.api.stages import StageName
from nanodex.models import token_counter
from nanodex.pipeline.stage import Inputs, Metrics, Need, Stage

GRAPH = "graph.sqlite"
ADAPTER = "adapter"


def build_stage(expert: CodeExpert, name: StageName) -> Stage:
    """Return the stage `name` with the parameters of `expert`."""
    spec = expert.spec
    match name:
        case StageName.EXTRACT:
            return Extract(spec.extract)
        case StageName.BRAIN:
            return Brain(spec.brain)
        case StageName.DATASET:
            return Dataset(spec.dataset)
        case StageName.TRAIN:
            return Train(training_config(expert))
        case StageName.EVALUATE:
            return Evaluate(evaluation_config(expert))


StageBuilder = Callable[[CodeExpert, StageName], Stage]


@dataclass(frozen=True)
class Extract:
    """Source to graph."""

    config: ExtractorConfig
    name = StageName.EXTRACT
    needs = frozenset({Need.CHECKOUT})

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write graph.sqlite."""
        from nanodex.extractor import extract

        assert inputs.checkout is not None
        return extract(
            inputs.checkout,
            self.config,
            out=out / GRAPH,
            cache=inputs.cache / "records",
            progress=progress,
        )


@dataclass(frozen=True)
class Brain:
    """Graph to typed nodes with summaries."""

    config: BrainConfig
    name = StageName.BRAIN
    needs = frozenset({Need.TOKENIZER})

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write graph.sqlite and nodes.jsonl."""
        from nanodex.brain import build_brain

        assert inputs.tokenizer is not None
        return build_brain(
            inputs.artifacts[StageName.EXTRACT] / GRAPH,
            self.config,
            out=out,
            count_tokens=token_counter(inputs.tokenizer),
            progress=progress,
        )


@dataclass(frozen=True)
class Dataset:
    """Brain to examples and questions."""

    config: DatasetConfig
    name = StageName.DATASET
    needs: frozenset[Need] = frozenset()

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write the JSONL files and dataset.json."""
        from nanodex.dataset import build_dataset

        return build_dataset(
            inputs.artifacts[StageName.BRAIN], self.config, out=out, progress=progress
        )


@dataclass(frozen=True)
class Train:
    """Dataset to adapter."""

    config: TrainingConfig
    name = StageName.TRAIN
    needs = frozenset({Need.BASE_MODEL, Need.CHECKPOINTS})

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write adapter/ and training.json."""
        from nanodex.trainer import train

        assert inputs.base_model is not None
        assert inputs.checkpoints is not None
        return train(
            inputs.artifacts[StageName.DATASET],
            self.config,
            base_model=inputs.base_model,
            out=out,
            checkpoints=inputs.checkpoints,
            progress=progress,
        )


@dataclass(frozen=True)
class Evaluate:
    """Adapter and questions to scores."""

    config: EvaluationConfig
    name = StageName.EVALUATE
    needs = frozenset({Need.BASE_MODEL})

    def run(self, inputs: Inputs, *, out: Path, progress: Progress) -> Metrics:
        """Write evaluation.json and answers.jsonl."""
        from nanodex.evaluation import evaluate

        assert inputs.base_model is not None
        return evaluate(
            self.config,
            brain=inputs.artifacts[StageName.BRAIN],
            dataset=inputs.artifacts[StageName.DATASET],
            adapter=inputs.artifacts[StageName.TRAIN] / ADAPTER,
            base_model=inputs.base_model,
            out=out,
            progress=progress,
        )
