"""Puts the commands together; the work is in the packages, which commands import late."""

import importlib.metadata
from typing import Annotated

import typer

from nanodex.cli import artifacts, calibrate, config, graph, job, pod, run, serving, stages

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="A git repository becomes an expert that answers: graph, brain, dataset, adapter, server.",
    epilog="Exit codes: 0 done, 2 usage, 10-19 wrong input, 20-29 not servable, 30-39 try again, "
    "75 interrupted with everything saved.",
)
for group in (run.app, job.app, stages.app, serving.app, calibrate.app, pod.app):
    app.add_typer(group)
app.add_typer(graph.app, name="graph")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(config.app, name="config")


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"nanodex {importlib.metadata.version('nanodex')}")
        raise typer.Exit


@app.callback()
def nanodex(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Say nothing; commands speak for themselves."""


def main() -> None:
    """Run the command line."""
    app()
