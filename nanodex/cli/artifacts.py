"""`nanodex artifacts`: what a store holds, whether it is whole, and what can go."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import (
    GRACE,
    collect_garbage,
    discard,
    list_manifests,
    open_store,
    verify,
)
from nanodex.cli.output import Output, OutputOption, console, emit, reports_errors
from nanodex.errors import TryAgain

app = typer.Typer(no_args_is_help=True, help="Look after an artifact store.")

StoreArgument = Annotated[str, typer.Argument(help="A folder or s3://bucket/prefix.")]
ScopeOption = Annotated[str, typer.Option(help="Namespace of the artifacts.")]


@app.command(name="list")
@reports_errors
def list_artifacts(
    store: StoreArgument, scope: ScopeOption = "default", output: OutputOption = Output.TEXT
) -> None:
    """List the committed artifacts by stage, newest last.

    Example: nanodex artifacts list .demo/artifacts
    """
    opened = open_store(store)
    found = sorted(
        (
            (manifest, at)
            for stage in StageName
            for manifest, at in list_manifests(opened, scope=scope, stage=stage)
        ),
        key=lambda item: item[1],
    )
    table = Table(box=None, header_style="dim")
    for column in ("stage", "key", "digest", "bytes", "files", "committed"):
        table.add_column(column)
    rows = [
        {
            "stage": manifest.stage.value,
            "key": manifest.key,
            "digest": manifest.digest,
            "bytes": manifest.total_size,
            "files": len(manifest.files),
            "committed": f"{at:%Y-%m-%d %H:%M:%S}Z",
        }
        for manifest, at in found
    ]
    for row in rows:
        table.add_row(
            str(row["stage"]),
            str(row["key"])[:10],
            str(row["digest"])[:19],
            f"{row['bytes']:,}",
            str(row["files"]),
            str(row["committed"]),
        )
    emit({"artifacts": rows}, output=output, text=lambda: console.print(table))


@app.command(name="verify")
@reports_errors
def verify_artifacts(
    store: StoreArgument,
    scope: ScopeOption = "default",
    repair: Annotated[
        bool, typer.Option(help="Take damaged artifacts back, so that the next run makes them.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Read every file and compare it with its digest; exit code 33 where one differs.

    Example: nanodex artifacts verify .demo/artifacts --repair
    """
    opened = open_store(store)
    damaged: list[str] = []
    checked = 0
    for stage in StageName:
        for manifest, _ in list(list_manifests(opened, scope=scope, stage=stage)):
            checked += len(manifest.files)
            bad = verify(manifest, store=opened)
            damaged += [f"{stage}/{manifest.key[:10]}/{entry.path}" for entry in bad]
            if bad and repair:
                discard(manifest, store=opened)
    emit(
        {"files": checked, "damaged": damaged, "repaired": repair and bool(damaged)},
        output=output,
        text=lambda: console.print(
            f"{checked} files, {len(damaged)} damaged", *map(escape, damaged), sep="\n"
        ),
    )
    if damaged and not repair:
        raise TryAgain(
            f"{len(damaged)} of {checked} files are not what their manifests say",
            reason=Reason.DIGEST_MISMATCH,
            hint="run it again with --repair, then run the pipeline: it makes only those anew",
            exit_code=ExitCode.DIGEST_MISMATCH,
        )


@app.command()
@reports_errors
def gc(
    store: StoreArgument,
    scope: ScopeOption = "default",
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Age in hours below which an unnamed file stays.")
    ] = GRACE.total_seconds() / 3600,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete files that no committed artifact names.

    Example: nanodex artifacts gc s3://nanodex/prod --scope team-a
    """
    collected = collect_garbage(open_store(store), scope=scope, grace=timedelta(hours=grace_hours))
    emit(
        {"deleted": collected.deleted, "freedBytes": collected.freed, "kept": collected.kept},
        output=output,
        text=lambda: console.print(
            f"deleted {collected.deleted} files ({collected.freed:,} bytes), kept {collected.kept}"
        ),
    )
