"""One command for each stage, on plain files: what the pipeline does, step by step, by hand."""

from pathlib import Path
from typing import Annotated

import typer

from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    TrainingConfig,
)
from nanodex.api.stages import StageName
from nanodex.cli.output import Output, OutputOption, reports_errors
from nanodex.cli.single_stage import CacheOption, base_model_ref, cache_folder, run_alone
from nanodex.config import load_config

app = typer.Typer()

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML of this stage's parameters; see config/.")
]
BaseModelOption = Annotated[
    str, typer.Option("--base-model", help="bundled://..., hf://OWNER/NAME or file:///FOLDER.")
]
BUNDLED = "bundled://smollm2-135m-instruct"


@app.command()
@reports_errors
def extract(
    repository: Annotated[Path, typer.Argument(help="A folder: a git work tree or any other.")],
    out: Annotated[Path, typer.Option(help="The graph, a new file.")] = Path("graph.sqlite"),
    config: ConfigOption = None,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Parse a repository into a graph of symbols and resolved references.

    Example: nanodex extract ~/src/payments --out graph.sqlite
    """
    from nanodex.extractor import extract as extract_graph
    from nanodex.source import open_folder

    parameters = load_config(ExtractorConfig, config)
    run_alone(
        StageName.EXTRACT,
        lambda progress: extract_graph(
            open_folder(repository),
            parameters,
            out=out,
            cache=cache_folder(cache) / "records",
            progress=progress,
        ),
        output=output,
    )


@app.command()
@reports_errors
def brain(
    graph: Annotated[Path, typer.Option(help="graph.sqlite of extract.")] = Path("graph.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder of the brain.")] = Path("brain"),
    config: ConfigOption = None,
    base_model: BaseModelOption = BUNDLED,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give every symbol its meaning and a summary that is true by construction.

    Example: nanodex brain --graph graph.sqlite --out brain/
    """
    from nanodex.brain import build_brain
    from nanodex.models import resolve_tokenizer, token_counter

    parameters = load_config(BrainConfig, config)
    run_alone(
        StageName.BRAIN,
        lambda progress: build_brain(
            graph,
            parameters,
            out=out,
            count_tokens=token_counter(
                resolve_tokenizer(base_model_ref(base_model), cache=cache_folder(cache))
            ),
            progress=progress,
        ),
        output=output,
    )


@app.command()
@reports_errors
def dataset(
    brain: Annotated[Path, typer.Option(help="Folder of the brain.")] = Path("brain"),
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("dataset"),
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Turn proven facts into questions and answers, and questions about what is absent.

    Example: nanodex dataset --brain brain/ --out dataset/
    """
    from nanodex.dataset import build_dataset

    parameters = load_config(DatasetConfig, config)
    run_alone(
        StageName.DATASET,
        lambda progress: build_dataset(brain, parameters, out=out, progress=progress),
        output=output,
    )


@app.command()
@reports_errors
def train(
    dataset: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("dataset"),
    out: Annotated[Path, typer.Option(help="Folder of the adapter.")] = Path("trained"),
    config: ConfigOption = None,
    base_model: BaseModelOption = BUNDLED,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Train a LoRA adapter; Ctrl-C saves a checkpoint, the same command goes on from it.

    Example: nanodex train --dataset dataset/ --out trained/ --config config/train_lora.yaml
    """
    from nanodex.models import resolve_base_model
    from nanodex.trainer import train as train_adapter

    parameters = load_config(TrainingConfig, config)
    run_alone(
        StageName.TRAIN,
        lambda progress: train_adapter(
            dataset,
            parameters,
            base_model=resolve_base_model(base_model_ref(base_model), cache=cache_folder(cache)),
            out=out,
            checkpoints=out.with_name(out.name + ".checkpoints"),
            progress=progress,
        ),
        output=output,
    )


@app.command()
@reports_errors
def evaluate(
    brain: Annotated[Path, typer.Option(help="Folder of the brain.")] = Path("brain"),
    dataset: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("dataset"),
    trained: Annotated[Path, typer.Option(help="Folder that train wrote.")] = Path("trained"),
    out: Annotated[Path, typer.Option(help="Folder of the evaluation.")] = Path("evaluation"),
    config: ConfigOption = None,
    base_model: BaseModelOption = BUNDLED,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask base model and adapter the questions that training never saw, and score the answers.

    Example: nanodex evaluate --trained trained/ --out evaluation/
    """
    from nanodex.evaluation import evaluate as evaluate_adapter
    from nanodex.models import resolve_base_model

    parameters = load_config(EvaluationConfig, config)
    run_alone(
        StageName.EVALUATE,
        lambda progress: evaluate_adapter(
            parameters,
            brain=brain,
            dataset=dataset,
            adapter=trained / "adapter",
            base_model=resolve_base_model(base_model_ref(base_model), cache=cache_folder(cache)),
            out=out,
            progress=progress,
        ),
        output=output,
    )
