"""Which parts of a CodeExpert each stage reads; they, and nothing else, enter its key.

The operator computes the same keys as the Job that runs the stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nanodex.api.base import Contract
from nanodex.api.code_expert import CodeExpert
from nanodex.api.keys import stage_key
from nanodex.api.parameters import EvaluationConfig, TrainingConfig
from nanodex.api.stages import UPSTREAM, StageName

# Brain counts tokens with the model's tokenizer.
USES_BASE_MODEL = frozenset({StageName.BRAIN, StageName.TRAIN, StageName.EVALUATE})


# torch is in the trainer's image alone.
USES_TRAINER_IMAGE = frozenset({StageName.TRAIN, StageName.EVALUATE})


@dataclass(frozen=True)
class Images:
    """The images that run the stages, by digest where they have one; empty outside a cluster."""

    nanodex: str = ""
    trainer: str = ""

    def of(self, stage: StageName) -> str:
        """Return the image that runs `stage`."""
        return self.trainer if stage in USES_TRAINER_IMAGE else self.nanodex


@dataclass(frozen=True)
class Pinned:
    """What the references of a CodeExpert mean at one moment.

    Attributes:
        commit: full id of the commit.
        base_model_revision: as `nanodex.models.pinned_revision` gives it.
        images: what runs the stages.
    """

    commit: str
    base_model_revision: str
    images: Images = Images()


@dataclass(frozen=True)
class Identity:
    """Which run of which stage: all that enters the key, and the key.

    Attributes:
        stage: the stage.
        scope: namespace.
        key: 64 hexadecimal digits.
        parameters: what the stage reads, as JSON values.
        upstream: digest of each artifact that is read, by stage; for extract `git` and the commit.
        base_model_revision: empty where the stage uses no base model.
        image: digest of the image; empty outside a cluster.
    """

    stage: StageName
    scope: str
    key: str
    parameters: Mapping[str, Any]
    upstream: Mapping[str, str]
    base_model_revision: str = ""
    image: str = ""


def identify(
    expert: CodeExpert,
    stage: StageName,
    *,
    pinned: Pinned,
    upstream: Mapping[StageName, str],
) -> Identity:
    """Return the identity of a run, with its key.

    Args:
        expert: what the user wants.
        stage: which stage.
        pinned: what its references mean now.
        upstream: digest of the artifact of each stage in `UPSTREAM[stage]`; more are ignored.

    Raises:
        KeyError: a digest is missing.
    """
    read = (
        {"git": pinned.commit}
        if stage is StageName.EXTRACT
        else {name.value: upstream[name] for name in UPSTREAM[stage]}
    )
    parameters = parameters_of(expert, stage)
    revision = pinned.base_model_revision if stage in USES_BASE_MODEL else ""
    scope = expert.metadata.namespace
    key = stage_key(
        stage,
        scope=scope,
        parameters=parameters,
        upstream=read,
        image=pinned.images.of(stage),
        base_model_revision=revision,
    )
    return Identity(
        stage=stage,
        scope=scope,
        key=key,
        parameters=parameters,
        upstream=read,
        base_model_revision=revision,
        image=pinned.images.of(stage),
    )


def parameters_of(expert: CodeExpert, stage: StageName) -> dict[str, Any]:
    """Return what `stage` reads of `expert`, as JSON values.

    Left out on purpose: the ref (the commit says it), credentials, names, how the cluster runs a
    stage (`training.pod`, `nodes`, deadlines), `extract.workers`, `evaluation.promotion`.
    """
    spec = expert.spec
    match stage:
        case StageName.EXTRACT:
            git = spec.source.git
            return {
                **_json(spec.extract),
                # The commit fixes the content wherever it comes from; of the address only the name
                # of the repository is written into the graph.
                "repository": git.repository_name,
                "subPath": git.sub_path,
                "include": list(git.include),
                "exclude": list(git.exclude),
            }
        case StageName.BRAIN:
            return {**_json(spec.brain), "baseModel": spec.base_model.uri}
        case StageName.DATASET:
            return _json(spec.dataset)
        case StageName.TRAIN:
            return {**_json(training_config(expert)), "baseModel": spec.base_model.uri}
        case StageName.EVALUATE:
            return {**_json(evaluation_config(expert)), "baseModel": spec.base_model.uri}


def training_config(expert: CodeExpert) -> TrainingConfig:
    """Return the training parameters without what only the cluster reads."""
    spec = expert.spec.training
    return TrainingConfig(**{name: getattr(spec, name) for name in TrainingConfig.model_fields})


def evaluation_config(expert: CodeExpert) -> EvaluationConfig:
    """Return the evaluation parameters without who promotes."""
    spec = expert.spec.evaluation
    return EvaluationConfig(**{name: getattr(spec, name) for name in EvaluationConfig.model_fields})


def _json(config: Contract) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True)
