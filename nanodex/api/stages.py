"""The stages of the pipeline, in order, and which artifacts each of them reads."""

from enum import StrEnum


class StageName(StrEnum):
    """One step from commit to evaluated adapter."""

    EXTRACT = "extract"
    BRAIN = "brain"
    DATASET = "dataset"
    TRAIN = "train"
    EVALUATE = "evaluate"


class Task(StrEnum):
    """What a Job of a CodeExpert does: find out what its references mean, or run a stage."""

    RESOLVE = "resolve"
    EXTRACT = "extract"
    BRAIN = "brain"
    DATASET = "dataset"
    TRAIN = "train"
    EVALUATE = "evaluate"


# Artifacts that a stage reads, by the stage that wrote them. Extract reads the git commit.
UPSTREAM: dict[StageName, tuple[StageName, ...]] = {
    StageName.EXTRACT: (),
    StageName.BRAIN: (StageName.EXTRACT,),
    StageName.DATASET: (StageName.BRAIN,),
    StageName.TRAIN: (StageName.DATASET,),
    StageName.EVALUATE: (StageName.BRAIN, StageName.DATASET, StageName.TRAIN),
}

# A change of what a stage writes for the same input raises its number: old artifacts stay valid,
# new runs get new keys.
SCHEMA_VERSION: dict[StageName, int] = {stage: 1 for stage in StageName} | {StageName.DATASET: 2}

# The files that each stage publishes (a folder ends with a slash).
FILES: dict[StageName, tuple[str, ...]] = {
    StageName.EXTRACT: ("graph.sqlite",),
    StageName.BRAIN: ("graph.sqlite", "nodes.jsonl"),
    StageName.DATASET: (
        "train.jsonl",
        "validation.jsonl",
        "questions.jsonl",
        "facts.jsonl",
        "dataset.json",
    ),
    StageName.TRAIN: ("adapter/", "training.json"),
    StageName.EVALUATE: ("evaluation.json", "answers.jsonl"),
}
