"""`nanodex config`: the parameters that a stage would run with."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from nanodex.cli.output import Output, OutputOption, console, emit, reports_errors
from nanodex.config import CONFIG_MODELS, config_folder, load_config, load_expert

app = typer.Typer(no_args_is_help=True, help="Show parameters.")


@app.command()
@reports_errors
def show(
    expert: Annotated[
        Path | None, typer.Argument(help="A CodeExpert; left out: the defaults of each stage.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what would run: a CodeExpert with every default filled in, or the defaults.

    Example: nanodex config show config/samples/demo.yaml
    """
    if expert is not None:
        shown = load_expert(expert).model_dump(mode="json", by_alias=True, exclude_none=True)
    else:
        shown = {
            name.removesuffix(".yaml"): load_config(model, config_folder() / name).model_dump(
                mode="json", by_alias=True
            )
            for name, model in CONFIG_MODELS.items()
        }
    emit(
        shown,
        output=output,
        text=lambda: console.print(
            yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), markup=False, end=""
        ),
    )
