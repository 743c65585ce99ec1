"""`nanodex resolve` and `stage`: what the Jobs of a cluster run; the last word is JSON."""

import logging
import re
from pathlib import Path
from typing import Annotated

import typer

from nanodex.api.identity import Images, Pinned
from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store
from nanodex.cli.output import as_json
from nanodex.cli.run import (
    DEFAULT_STORE,
    CredentialsOption,
    RepositoryOption,
    StoreOption,
    read_expert,
    read_secret,
)
from nanodex.cli.single_stage import CacheOption, cache_folder
from nanodex.errors import UserError
from nanodex.pipeline import finish, finish_resolve, pin, run_one, shown, stop_on_signals

app = typer.Typer()

ExpertOption = Annotated[Path, typer.Option(help="YAML or JSON file of the CodeExpert.")]
MessageOption = Annotated[
    Path | None, typer.Option(help="File for the last word, in a Pod /dev/termination-log.")
]


@app.command()
def resolve(
    expert: ExpertOption,
    repository: RepositoryOption = None,
    credentials: CredentialsOption = None,
    termination_message: MessageOption = None,
) -> None:
    """Ask what the git ref and the base model's revision mean now; clones and loads nothing.

    Example: nanodex resolve --expert expert.yaml
    """
    _log_to_stderr()
    _end(
        finish_resolve(
            lambda: pin(
                read_expert(expert, repository=repository), credentials=read_secret(credentials)
            ),
            message_path=termination_message,
        )
    )


@app.command()
def stage(
    name: Annotated[StageName, typer.Argument(help="Which stage.")],
    expert: ExpertOption,
    store: StoreOption = DEFAULT_STORE,
    repository: RepositoryOption = None,
    credentials: CredentialsOption = None,
    cache: CacheOption = None,
    commit: Annotated[
        str, typer.Option(help="The commit to learn, as resolve prints it; nobody is asked again.")
    ] = "",
    base_model_revision: Annotated[
        str, typer.Option(help="The base model's revision, as resolve prints it; with --commit.")
    ] = "",
    nanodex_image: Annotated[
        str, typer.Option(help="Image of extract, brain and dataset; part of their keys.")
    ] = "",
    trainer_image: Annotated[
        str, typer.Option(help="Image of train and evaluate; part of their keys.")
    ] = "",
    key: Annotated[
        str, typer.Option(help="Key that the run must have; another one is an error.")
    ] = "",
    termination_message: MessageOption = None,
) -> None:
    """Run one stage on the store's artifacts, as a Job does; prints its last word as JSON.

    Example: nanodex stage train --expert expert.yaml --store s3://nanodex/prod
    """
    _log_to_stderr()
    images = Images(nanodex=nanodex_image, trainer=trainer_image)
    with stop_on_signals() as stop:
        message = finish(
            name,
            lambda: run_one(
                wanted := read_expert(expert, repository=repository),
                name,
                store=open_store(store),
                cache=cache_folder(cache),
                stop=stop,
                display=shown(),
                pinned=_given(commit, base_model_revision, images)
                or pin(wanted, credentials=read_secret(credentials), images=images),
                credentials=read_secret(credentials),
                expected_key=key,
            ),
            message_path=termination_message,
        )
    _end(message)


def _given(commit: str, base_model_revision: str, images: Images) -> Pinned | None:
    """Return what the options say the references mean; None where they say nothing.

    Raises:
        UserError: one of the two is missing, or the commit is no full id.
    """
    if not commit and not base_model_revision:
        return None
    if not base_model_revision or re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit) is None:
        raise UserError(
            "--commit (40 or 64 hexadecimal digits) and --base-model-revision belong together",
            reason=Reason.INVALID_INPUT,
            hint="Take both from what `nanodex resolve` prints.",
        )
    return Pinned(commit=commit, base_model_revision=base_model_revision, images=images)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


def _end(message: TerminationMessage) -> None:
    typer.echo(as_json(message))
    if message.exit_code is not ExitCode.DONE:
        raise typer.Exit(int(message.exit_code))
