"""`nanodex calibrate`: which parity limit a base model needs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nanodex.api.parameters import InferenceConfig
from nanodex.artifacts import open_store
from nanodex.cli.output import Output, OutputOption, console, emit, figures_table, reports_errors
from nanodex.cli.run import DEFAULT_STORE, RepositoryOption, StoreOption, read_expert
from nanodex.cli.serving import served
from nanodex.cli.single_stage import CacheOption, cache_folder
from nanodex.config import load_config

app = typer.Typer()


@app.command()
@reports_errors
def calibrate(
    expert: Annotated[Path, typer.Argument(help="A trained CodeExpert on the base model.")],
    store: StoreOption = DEFAULT_STORE,
    repository: RepositoryOption = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML of engine and agent; see config/.")
    ] = None,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"] | None,
        typer.Option(help="What the engine computes in, as in the ModelServer."),
    ] = None,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Measure which parity limit tells a right adapter from a damaged one.

    Starts an engine on this machine, asks it for the prompts that training stored with the adapter,
    the adapter with a slightly smaller alpha, and the base model, and stops it. The limit goes into
    engine.parityLimit of the ModelServer, or into the YAML of `nanodex serve`.

    Example: nanodex calibrate expert.yaml --store artifacts
    Example: nanodex calibrate expert.yaml --dtype bfloat16 --output json
    """
    from nanodex.cli.waiting import shown_steps
    from nanodex.inference.calibration import calibrate as measure
    from nanodex.models import resolve_base_model
    from nanodex.pipeline.signals import stop_on_signals

    cached = cache_folder(cache)
    loaded = read_expert(expert, repository=repository)
    parameters = load_config(InferenceConfig, config).model_copy(update={"port": 0})
    if dtype is not None:
        parameters = parameters.model_copy(update={"dtype": dtype})
    adapter = served(loaded, store=open_store(store), cache=cached)
    base_model = resolve_base_model(loaded.spec.base_model, cache=cached).path
    with stop_on_signals() as flag, shown_steps(flag) as progress:
        result = measure(
            parameters,
            base_model=base_model,
            expert=adapter,
            state=cached / "calibrate",
            progress=progress,
        )
    emit(
        result,
        output=output,
        text=lambda: console.print(
            figures_table("nats per token", result.model_dump(by_alias=True))
        ),
    )
