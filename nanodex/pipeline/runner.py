"""Runs one stage: looks for its artifact, else fetches what it reads, runs and publishes it."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.identity import Identity
from nanodex.api.manifest import Manifest
from nanodex.api.progress import ProgressReport
from nanodex.api.stages import FILES, UPSTREAM, StageName
from nanodex.artifacts import ObjectStore, find, publish, require_conditional_writes
from nanodex.models import BaseModel as LanguageModel
from nanodex.pipeline import checkpoints
from nanodex.pipeline.figures import figures_of
from nanodex.pipeline.meter import Meter
from nanodex.pipeline.progress import Display, Sink, StageProgress, hidden
from nanodex.pipeline.signals import StopFlag
from nanodex.pipeline.stage import Inputs, Need, Stage
from nanodex.pipeline.workspace import Workspace
from nanodex.source.checkout import Checkout

_log = logging.getLogger(__name__)


class StageResult(Contract):
    """How one stage ended well."""

    stage: StageName
    cached: bool = Field(description="Whether the artifact was there already.")
    seconds: float = Field(description="Wall seconds of the stage's own work; 0 if cached.")
    input_seconds: float = Field(
        description="Wall seconds to bring source, artifacts and base model here; 0 if cached."
    )
    peak_bytes: int = Field(description="Peak memory of process and children; 0 if cached.")
    digest: str
    manifest: Manifest


@dataclass(frozen=True)
class Supplies:
    """Where the costly inputs come from; called only when a stage really runs.

    Attributes:
        checkout: writes the source below an absent folder and returns it.
        tokenizer: returns tokenizer.json of the base model.
        base_model: returns the base model on this machine.
    """

    checkout: Callable[[Path], Checkout]
    tokenizer: Callable[[], Path]
    base_model: Callable[[], LanguageModel]


def run_stage(
    stage: Stage,
    *,
    identity: Identity,
    upstream: Mapping[StageName, Manifest],
    supplies: Supplies,
    store: ObjectStore,
    workspace: Workspace,
    stop: StopFlag,
    display: Display = hidden,
) -> StageResult:
    """Return the artifact of `identity`, made now or found in the store.

    Args:
        stage: what to run, with the parameters of `identity`.
        identity: the run and its key.
        upstream: manifest of each artifact that the stage reads.
        supplies: source and base model.
        store: where artifacts are.
        workspace: folders on this machine.
        stop: asks the stage to stop.
        display: shows progress.

    Raises:
        UserError, NotServable, TryAgain: from the stage or the store.
        Interrupted: `stop` was set; a later call goes on from the last checkpoint, if any.
    """
    stop.check()
    manifest = _find(identity, store=store)
    if manifest is not None:
        return _cached(manifest)
    with workspace.lock(identity, stop=stop):
        # Whoever held the lock may have made it.
        manifest = _find(identity, store=store)
        if manifest is not None:
            return _cached(manifest)
        # Better now than after hours of training.
        require_conditional_writes(store)
        return _run(
            stage,
            identity=identity,
            upstream=upstream,
            supplies=supplies,
            store=store,
            workspace=workspace,
            stop=stop,
            display=display,
        )


def _run(
    stage: Stage,
    *,
    identity: Identity,
    upstream: Mapping[StageName, Manifest],
    supplies: Supplies,
    store: ObjectStore,
    workspace: Workspace,
    stop: StopFlag,
    display: Display,
) -> StageResult:
    with ExitStack() as stack:
        scratch = stack.enter_context(workspace.scratch(identity))
        sink = stack.enter_context(display(stage.name))
        started = time.monotonic()
        sink(ProgressReport(stage=stage.name, done=0, total=0, unit="", message="fetching inputs"))
        inputs = _fetch_inputs(
            stage,
            identity=identity,
            upstream=upstream,
            supplies=supplies,
            store=store,
            workspace=workspace,
            source=scratch / "source",
        )
        input_seconds = time.monotonic() - started
        stop.check()
        out = scratch / "out"
        out.mkdir()
        with Meter() as meter, ExitStack() as mirrored:
            if inputs.checkpoints is not None:
                sink = _mirror(mirrored, inputs.checkpoints, identity, store=store, sink=sink)
            progress = StageProgress(
                stage.name, stop=stop, sink=sink, resumable=inputs.checkpoints is not None
            )
            metrics = figures_of(stage.run(inputs, out=out, progress=progress))
        _require_declared_files(stage.name, out)
        published = publish(
            out,
            store=store,
            stage=stage.name,
            key=identity.key,
            scope=identity.scope,
            upstream=identity.upstream,
            parameters=identity.parameters,
            metrics=metrics,
            base_model_revision=identity.base_model_revision,
            image=identity.image,
        )
        if published.first:
            workspace.keep(out, published.manifest)
        else:
            _log.info("another run of %s was first; its artifact is used", stage.name)
        if inputs.checkpoints is not None:
            checkpoints.clear(identity, store=store, folder=inputs.checkpoints)
    return StageResult(
        stage=stage.name,
        cached=False,
        seconds=round(meter.seconds, 3),
        input_seconds=round(input_seconds, 3),
        peak_bytes=meter.peak_bytes,
        digest=published.manifest.digest,
        manifest=published.manifest,
    )


def _fetch_inputs(
    stage: Stage,
    *,
    identity: Identity,
    upstream: Mapping[StageName, Manifest],
    supplies: Supplies,
    store: ObjectStore,
    workspace: Workspace,
    source: Path,
) -> Inputs:
    return Inputs(
        artifacts={
            name: workspace.artifact(upstream[name], store=store) for name in UPSTREAM[stage.name]
        },
        cache=workspace.root,
        checkout=supplies.checkout(source) if Need.CHECKOUT in stage.needs else None,
        tokenizer=supplies.tokenizer() if Need.TOKENIZER in stage.needs else None,
        base_model=supplies.base_model() if Need.BASE_MODEL in stage.needs else None,
        checkpoints=workspace.checkpoints(identity) if Need.CHECKPOINTS in stage.needs else None,
    )


def _find(identity: Identity, *, store: ObjectStore) -> Manifest | None:
    return find(store, scope=identity.scope, stage=identity.stage, key=identity.key)


def _cached(manifest: Manifest) -> StageResult:
    return StageResult(
        stage=manifest.stage,
        cached=True,
        seconds=0.0,
        input_seconds=0.0,
        peak_bytes=0,
        digest=manifest.digest,
        manifest=manifest,
    )


def _mirror(
    stack: ExitStack, folder: Path, identity: Identity, *, store: ObjectStore, sink: Sink
) -> Sink:
    restored = checkpoints.restore(identity, store=store, folder=folder)
    if restored is not None:
        _log.info("%s goes on from %s", identity.stage, restored.name)
    mirror = stack.enter_context(checkpoints.Mirror(identity, store=store, folder=folder))

    def both(report: ProgressReport) -> None:
        sink(report)
        mirror.show(report)

    return both


def _require_declared_files(stage: StageName, out: Path) -> None:
    """Publish what the contract names and nothing else.

    Raises:
        RuntimeError: the stage left a file out or wrote another; a bug, not the user's doing.
    """
    declared = FILES[stage]
    found = [path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()]

    def covers(name: str, path: str) -> bool:
        return path.startswith(name) if name.endswith("/") else path == name

    missing = [name for name in declared if not any(covers(name, path) for path in found)]
    strange = [path for path in found if not any(covers(name, path) for name in declared)]
    if missing or strange:
        raise RuntimeError(f"{stage} must write {declared}: missing {missing}, strange {strange}")
