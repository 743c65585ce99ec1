"""`nanodex run` and `report`: from commit to evaluated adapter, on a store."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nanodex.api.code_expert import CodeExpert
from nanodex.artifacts import open_store
from nanodex.cli.output import Output, OutputOption, console, emit, reports_errors
from nanodex.cli.single_stage import CacheOption, cache_folder
from nanodex.config import load_expert
from nanodex.pipeline import RunReport, run_expert, shown, stop_on_signals
from nanodex.source.credentials import Credentials, read_credentials

app = typer.Typer()

ExpertArgument = Annotated[Path, typer.Argument(help="YAML file of a CodeExpert.")]
StoreOption = Annotated[
    str, typer.Option(help="Where artifacts are kept: a folder or s3://bucket/prefix.")
]
RepositoryOption = Annotated[
    Path | None, typer.Option(help="A git repository on this machine, in place of source.git.url.")
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(help="Folder like a mounted Secret: username, password, bearerToken, identity."),
]
DEFAULT_STORE = "artifacts"


def read_expert(path: Path, *, repository: Path | None) -> CodeExpert:
    """Read a CodeExpert; `repository` takes the place of its url.

    Raises:
        UserError: the file is not a CodeExpert.
    """
    expert = load_expert(path)
    if repository is None:
        return expert
    git = expert.spec.source.git.model_copy(update={"url": repository.resolve().as_uri()})
    source = expert.spec.source.model_copy(update={"git": git})
    return expert.model_copy(update={"spec": expert.spec.model_copy(update={"source": source})})


def read_secret(folder: Path | None) -> Credentials | None:
    """Read the credentials in a folder, if one is named.

    Raises:
        UserError: they cannot be used.
        TryAgain: the folder is empty.
    """
    return read_credentials(folder) if folder is not None else None


@app.command()
@reports_errors
def run(
    expert: ExpertArgument,
    store: StoreOption = DEFAULT_STORE,
    repository: RepositoryOption = None,
    credentials: CredentialsOption = None,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run every stage whose artifact is not in the store yet; exit code 15 if the gate says no.

    Example: nanodex run expert.yaml --store s3://nanodex/prod
    Example: nanodex run config/samples/demo.yaml --repository ~/src/parcelry
    """
    with stop_on_signals() as stop:
        report = run_expert(
            read_expert(expert, repository=repository),
            store=open_store(store),
            cache=cache_folder(cache),
            stop=stop,
            display=shown(),
            credentials=read_secret(credentials),
        )
    emit(summary(report), output=output, text=lambda: print_report(report))
    report.require_passed()


def summary(report: RunReport) -> dict[str, Any]:
    """Return what programs want of a run: counts, seconds, memory, digests, scores."""
    return {
        "expert": report.expert,
        "commit": report.commit,
        "stages": {
            result.stage.value: {
                "cached": result.cached,
                "seconds": round(result.seconds, 1),
                "peakMegabytes": round(result.peak_bytes / 1e6),
                "digest": result.digest,
                "counts": dict(result.manifest.metrics),
            }
            for result in report.stages
        },
        "score": report.evaluation.score,
        "passed": report.evaluation.passed,
    }


def print_report(report: RunReport) -> None:
    """Print stages and scores as tables."""
    table = Table(title=f"{report.expert} at {report.commit[:12]}", title_justify="left", box=None)
    for column in ("stage", "seconds", "peak MB", "digest"):
        table.add_column(column, justify="left" if column in ("stage", "digest") else "right")
    for result in report.stages:
        table.add_row(
            result.stage.value,
            "cached" if result.cached else f"{result.seconds:.1f}",
            "" if result.cached else f"{result.peak_bytes / 1e6:,.0f}",
            result.digest[:19],
        )
    console.print(table)
    print_scores(report)


def print_scores(report: RunReport) -> None:
    """Print the evaluation: each test set by arm, with 95 % intervals."""
    table = Table(title="evaluation (mean, 95 % interval)", title_justify="left", box=None)
    for column in ("set", "metric", "arm", "score", "interval", "questions"):
        table.add_column(column)
    for one in sorted(report.evaluation.results, key=lambda result: (result.test_set, result.arm)):
        table.add_row(
            one.test_set.value,
            escape(one.metric),
            one.arm,
            f"{one.score.mean:.2f}",
            f"{one.score.low:.2f}-{one.score.high:.2f}",
            str(one.score.questions),
        )
    console.print(table)


@app.command()
@reports_errors
def report(
    brain: Annotated[Path, typer.Option(help="Folder of the brain.")] = Path("brain"),
    dataset: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("dataset"),
    trained: Annotated[Path, typer.Option(help="Folder that train wrote.")] = Path("trained"),
    evaluation: Annotated[Path, typer.Option(help="Folder that evaluate wrote.")] = Path(
        "evaluation"
    ),
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    output: OutputOption = Output.TEXT,
) -> None:
    """Write one HTML page about a run: graph, dataset, loss, scores, answers side by side.

    Example: nanodex report --trained trained/ --out report.html
    """
    from nanodex.report import build_report

    page = build_report(
        extract=None, brain=brain, dataset=dataset, train=trained, evaluation=evaluation, out=out
    )
    emit({"page": str(page)}, output=output, text=lambda: console.print(f"{page}", markup=False))
