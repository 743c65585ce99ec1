"""Runs one stage on plain files: progress, signals, seconds and peak memory, one result."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.cli.output import Output, console, emit, figures_table
from nanodex.config import default_cache
from nanodex.errors import UserError
from nanodex.pipeline import StageProgress, shown, stop_on_signals
from nanodex.pipeline.figures import figures_of
from nanodex.pipeline.meter import Meter

CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for what may be lost; default ~/.cache/nanodex."),
]


def cache_folder(cache: Path | None) -> Path:
    """Return the cache folder that the user named, or the default one."""
    if cache is not None:
        return cache.expanduser().resolve()
    return default_cache()


def base_model_ref(uri: str) -> BaseModelRef:
    """Return the reference to the base model at `uri`.

    Raises:
        UserError: it is no address.
    """
    try:
        return BaseModelRef(uri=uri)
    except ValidationError:
        raise UserError(
            f"{uri!r} is no address of a base model",
            reason=Reason.INVALID_INPUT,
            hint="Write bundled://NAME, hf://OWNER/NAME or file:///FOLDER.",
        ) from None


def run_alone(
    stage: StageName,
    work: Callable[[Progress], BaseModel | Mapping[str, Any]],
    *,
    output: Output,
) -> None:
    """Call `work` with progress and print its figures, seconds and peak memory."""
    with stop_on_signals() as stop, shown()(stage) as sink, Meter() as meter:
        progress = StageProgress(stage, stop=stop, sink=sink, resumable=stage is StageName.TRAIN)
        metrics = work(progress)
    result: dict[str, Any] = {
        "stage": stage.value,
        "seconds": round(meter.seconds, 3),
        "peakMegabytes": round(meter.peak_bytes / 1e6, 1),
        "counts": figures_of(metrics),
    }
    emit(result, output=output, text=lambda: console.print(figures_table(stage.value, result)))
