"""Writes what is rendered from the models: config/*.yaml and the reference pages of docs/.

Run it after a change of nanodex/api or of the command line: `.venv/bin/python docs/generate.py`.
A test compares the files with what this script would write.
"""

from pathlib import Path

from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    InferenceConfig,
    TrainingConfig,
)
from nanodex.api.reference import yaml_defaults

ROOT = Path(__file__).resolve().parent.parent


def rendered() -> dict[Path, str]:
    """Return every rendered file and its text."""
    lora = TrainingConfig(method="lora", learning_rate="1e-4")
    config = {
        "extract.yaml": (ExtractorConfig(), "Which files become the graph."),
        "brain.yaml": (BrainConfig(), "How the graph is summarised."),
        "dataset.yaml": (DatasetConfig(), "What is asked about the graph."),
        "train_qlora.yaml": (
            TrainingConfig(),
            "Training on a base model in 4 bits: the least memory. These are the defaults.",
        ),
        "train_lora.yaml": (
            lora,
            "Training on a base model in its own precision: method and learningRate differ "
            "from the defaults.",
        ),
        "evaluate.yaml": (EvaluationConfig(), "How the adapter is judged."),
        "inference.yaml": (InferenceConfig(), "The engine and the agent in front of it."),
    }
    return {
        ROOT / "config" / name: yaml_defaults(model, title=title)
        for name, (model, title) in config.items()
    }


def main() -> None:
    """Write the files."""
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
