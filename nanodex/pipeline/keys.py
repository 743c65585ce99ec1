"""Which parts of a CodeExpert each stage reads; they, and nothing else, enter its key.

The operator computes the same keys, so this module imports no stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nanodex.api.base import Contract
from nanodex.api.code_expert import CodeExpert
from nanodex.api.keys import stage_key
from nanodex.api.parameters import EvaluationConfig, TrainingConfig
from nanodex.api.stages import UPSTREAM, StageName
from nanodex.pipeline.stage import Identity
from nanodex.source.repository import repository_name

# Brain counts tokens with the model's tokenizer.
USES_BASE_MODEL = frozenset({StageName.BRAIN, StageName.TRAIN, StageName.EVALUATE})


@dataclass(frozen=True)
class Pinned:
    """What the references of a CodeExpert mean at one moment.

    Attributes:
        commit: full id of the commit.
        base_model_revision: as `nanodex.models.pinned_revision` gives it.
        image: digest of the image that runs the stages; empty outside a cluster.
    """

    commit: str
    base_model_revision: str
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
        image=pinned.image,
        base_model_revision=revision,
    )
    return Identity(
        stage=stage,
        scope=scope,
        key=key,
        parameters=parameters,
        upstream=read,
        base_model_revision=revision,
        image=pinned.image,
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
                "repository": repository_name(git.url),
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
