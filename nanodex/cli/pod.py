"""`nanodex agent` and `nanodex base-model`: what runs beside an engine in a Pod."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.reasons import Reason
from nanodex.artifacts import open_store
from nanodex.cli.output import Output, OutputOption, console, emit, reports_errors
from nanodex.errors import UserError

app = typer.Typer()

# What `nanodex base-model` leaves for the engine and the agent.
CURRENT = "current"
REVISION = "revision"

DesiredSetOption = Annotated[Path, typer.Option(help="The mounted desired set, set.json.")]


@app.command()
@reports_errors
def agent(
    desired_set: DesiredSetOption,
    keys: Annotated[Path, typer.Option(help="Folder of the mounted API keys.")],
    engine_socket: Annotated[Path, typer.Option(help="Unix socket of the engine.")],
    base_model: Annotated[Path, typer.Option(help="Folder of the base model it serves.")],
    base_model_uri: Annotated[str, typer.Option(help="Its address, for the report.")],
    store: Annotated[str, typer.Option(help="Where adapters are: s3://bucket/prefix.")],
    adapters: Annotated[Path, typer.Option(help="Folder that the engine reads them from.")],
    drain: Annotated[Path, typer.Option(help="File that appears when the Pod shall end.")],
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Build of vLLM.")],
    parity_limit: Annotated[float, typer.Option(help="Accepted |difference| in nats.")],
    max_rank: Annotated[int, typer.Option(min=1, help="Highest rank.")] = 32,
    resident: Annotated[int, typer.Option(min=1, help="Adapters in the engine at once.")] = 8,
    disk_bytes: Annotated[int, typer.Option(min=1, help="Bytes of adapter files.")] = 20 << 30,
    max_concurrent: Annotated[
        int, typer.Option(min=1, help="Requests of one key at the same time.")
    ] = 64,
    port: Annotated[int, typer.Option(help="Port for clients.")] = 8000,
    private_port: Annotated[int, typer.Option(help="Port for the operator.")] = 8001,
    settle_seconds: Annotated[float, typer.Option(help="Requests still come this long.")] = 5.0,
    drain_seconds: Annotated[float, typer.Option(help="Answers may take this long.")] = 120.0,
    token_reviews: Annotated[
        str, typer.Option(help="Address of who reviews tokens; empty: keys alone.")
    ] = "",
) -> None:
    """Keep the engine of a Pod at its desired set and answer clients; the operator starts it."""
    from nanodex.inference.json_lines import log_as_json
    from nanodex.inference.pod import PodPlan, run_pod_agent
    from nanodex.inference.web import listen_everywhere

    log_as_json()
    revision = base_model.parent / REVISION
    try:
        public, private = listen_everywhere(port), listen_everywhere(private_port)
    except OSError as error:
        raise UserError(
            f"cannot listen: {error.strerror or error}",
            reason=Reason.INVALID_INPUT,
            hint="choose free ports",
        ) from error
    run_pod_agent(
        PodPlan(
            desired=desired_set,
            keys=keys,
            engine_socket=engine_socket,
            base_model=base_model,
            base_model_uri=base_model_uri,
            base_model_revision=revision.read_text().strip() if revision.is_file() else "",
            store=open_store(store),
            adapters=adapters,
            device=device,
            max_rank=max_rank,
            resident=resident,
            parity_limit=parity_limit,
            disk_bytes=disk_bytes,
            turns=max_concurrent,
            public=public,
            private=private,
            drain=drain,
            settle_seconds=settle_seconds,
            drain_seconds=drain_seconds,
            token_reviews=token_reviews,
        )
    )


@app.command("base-model")
@reports_errors
def fetch_base_model(
    uri: Annotated[str, typer.Argument(help="bundled://, hf:// or file://.")],
    to: Annotated[Path, typer.Option(help="Folder that gets it, as `current`.")],
    revision: Annotated[str, typer.Option(help="Which; empty: the desired set's, or any.")] = "",
    desired_set: Annotated[Path | None, typer.Option(help="The mounted desired set.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put a base model where an engine reads it: the folder `current` below --to.

    Example: nanodex base-model hf://Qwen/Qwen2.5-Coder-7B-Instruct --to /model
    """
    from nanodex.inference.desired import read_desired
    from nanodex.models import resolve_base_model

    if not revision and desired_set is not None:
        revision = read_desired(desired_set).base_model_revision
    model = resolve_base_model(BaseModelRef(uri=uri, revision=revision), cache=to)
    current = to / CURRENT
    current.unlink(missing_ok=True)
    # Relative: the engine may see the folder elsewhere.
    inside = model.path.is_relative_to(to)
    current.symlink_to(model.path.relative_to(to) if inside else model.path)
    (to / REVISION).write_text(f"{model.revision}\n")
    emit(
        {"path": str(current), "uri": uri, "revision": model.revision},
        output=output,
        text=lambda: console.print(f"{uri} at {model.revision} is in {current}"),
    )
