"""`nanodex serve` and `nanodex ask`: experts behind an OpenAI-compatible address."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import identify
from nanodex.api.parameters import InferenceConfig
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, find, open_store
from nanodex.cli.evidence import graph_of, print_evidence
from nanodex.cli.output import Output, OutputOption, as_json, console, emit, reports_errors
from nanodex.cli.run import DEFAULT_STORE, RepositoryOption, StoreOption, read_expert
from nanodex.cli.single_stage import CacheOption, cache_folder
from nanodex.config import load_config
from nanodex.errors import UserError
from nanodex.graph.evidence import Evidence, evidence
from nanodex.graph.reader import load_graph
from nanodex.inference import ServedExpert, ServerInfo
from nanodex.pipeline import Workspace, find_upstream, pin

app = typer.Typer()

StateOption = Annotated[Path | None, typer.Option(help="Folder of the server's own files.")]
# Not an option: what is on a command line can be seen by all users of a machine.
KEY_VARIABLE = "NANODEX_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"


def served(expert: CodeExpert, *, store: ObjectStore, cache: Path) -> ServedExpert:
    """Return the trained adapter of `expert`, fetched and verified.

    Raises:
        UserError: it was not trained with this store and these parameters yet.
    """
    pinned = pin(expert)
    upstream = find_upstream(expert, StageName.TRAIN, store=store, pinned=pinned)
    identity = identify(
        expert,
        StageName.TRAIN,
        pinned=pinned,
        upstream={name: manifest.digest for name, manifest in upstream.items()},
    )
    manifest = find(store, scope=identity.scope, stage=StageName.TRAIN, key=identity.key)
    if manifest is None:
        raise UserError(
            f"{expert.model_name} has no adapter in {store.uri}",
            reason=Reason.INVALID_INPUT,
            hint="train it first: nanodex run EXPERT.yaml with the same --store",
        )
    folder = Workspace(cache).artifact(manifest, store=store)
    return ServedExpert(
        name=expert.model_name,
        digest=manifest.digest,
        folder=folder / "adapter",
        files=manifest.files,
    )


@app.command()
@reports_errors
def serve(
    experts: Annotated[
        list[Path] | None, typer.Argument(help="CodeExperts on one base model.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    repository: RepositoryOption = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML of engine and agent; see config/.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the agent; 0 takes any.")] = None,
    detach: Annotated[bool, typer.Option(help="Return when it answers; it stays.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the server that stays.")] = False,
    state: StateOption = None,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve trained experts from one vLLM, each under `<namespace>/<name>`.

    Example: nanodex serve expert.yaml --store artifacts
    Example: nanodex serve --stop
    """
    from nanodex.cli.waiting import shown_steps
    from nanodex.inference import serve as serve_here
    from nanodex.inference import start_detached
    from nanodex.inference import stop as stop_server
    from nanodex.models import resolve_base_model
    from nanodex.pipeline.signals import stop_on_signals

    cached = cache_folder(cache)
    folder = state or cached / "server"
    if stop:
        was_running = stop_server(folder)
        emit(
            {"stopped": was_running},
            output=output,
            text=lambda: console.print("stopped" if was_running else "no server was running"),
        )
        return
    loaded = [read_expert(path, repository=repository) for path in experts or []]
    base_models = {one.spec.base_model.uri: one.spec.base_model for one in loaded}
    if len(base_models) != 1:
        raise UserError(
            f"one server has one base model, these experts have {len(base_models)}",
            reason=Reason.INVALID_INPUT,
            hint="name at least one CodeExpert, and only such as share a base model",
        )
    parameters = load_config(InferenceConfig, config)
    if port is not None:
        parameters = parameters.model_copy(update={"port": port})
    opened = open_store(store)
    adapters = [served(one, store=opened, cache=cached) for one in loaded]
    base_model = resolve_base_model(next(iter(base_models.values())), cache=cached).path
    if detach:
        with stop_on_signals() as flag, shown_steps(flag) as progress:
            info = start_detached(
                parameters, base_model=base_model, experts=adapters, state=folder, progress=progress
            )
        emit(info, output=output, text=lambda: print_server(info))
        return

    with shown_steps() as progress:

        def ready(info: ServerInfo) -> None:
            progress.close()
            emit(info, output=output, text=lambda: print_server(info))
            sys.stdout.flush()

        code = serve_here(
            parameters,
            base_model=base_model,
            experts=adapters,
            state=folder,
            on_ready=ready,
            progress=progress,
        )
    raise typer.Exit(code)


def print_server(info: ServerInfo) -> None:
    """Print address, models and a line to try."""
    console.print(f"serving at [bold]{info.url}/v1[/]: {escape(', '.join(info.models))}")
    for adapter in info.quarantined:
        console.print(f"[bold red]refused[/] {escape(str(adapter))}")


@app.command()
@reports_errors
def ask(
    model: Annotated[str, typer.Argument(help="<namespace>/<name>, or base.")],
    question: Annotated[str, typer.Argument(help="What to ask.")],
    url: Annotated[str, typer.Option(help="Address of the server.")] = DEFAULT_URL,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    with_evidence: Annotated[
        bool, typer.Option("--evidence", help="Show what the graph knows of each name.")
    ] = False,
    graph: Annotated[
        Path | None, typer.Option(help="graph.sqlite; absent: the one behind the answer.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask a served expert; the answer comes as it is made. A key is taken from NANODEX_API_KEY.

    With --evidence, the graph's own facts follow, with file and line, for each symbol and file that
    the answer names; a name that the graph does not know is marked.

    Example: nanodex ask default/parcelry 'Which file defines `ParcelryError`?'
    Example: nanodex ask default/parcelry 'What does `Ledger.post` raise?' --evidence
    """
    from nanodex.inference import Origin
    from nanodex.inference import ask as ask_server

    name = model if "/" in model or model == "base" else f"default/{model}"
    origins: list[Origin] = []
    pieces = ask_server(
        url,
        name,
        question,
        max_tokens=max_tokens,
        api_key=os.environ.get(KEY_VARIABLE, ""),
        on_origin=origins.append,
    )
    answer = ""
    for piece in pieces:
        answer += piece
        if output is Output.TEXT:
            typer.echo(piece, nl=False)
    if output is Output.TEXT:
        typer.echo()
    found: tuple[Evidence, ...] = ()
    if with_evidence:
        path = graph or graph_of(
            origins[0].digest, scope=name.partition("/")[0], store=store, cache=cache_folder(cache)
        )
        found = evidence(load_graph(path), answer)
    if output is Output.TEXT:
        if with_evidence:
            print_evidence(found)
        return
    result: dict[str, Any] = {
        "model": name,
        "question": question,
        "answer": answer,
        **asdict(origins[0]),
    }
    if with_evidence:
        result["evidence"] = [one.model_dump(mode="json", by_alias=True) for one in found]
    typer.echo(as_json(result))
