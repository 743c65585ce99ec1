"""Walks the stages of a CodeExpert: all of them in one process, or one of them in a Job."""

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned, identify
from nanodex.api.manifest import Manifest
from nanodex.api.reasons import Reason
from nanodex.api.records import EvaluationReport
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, find
from nanodex.errors import UserError
from nanodex.models import BaseModel as LanguageModel
from nanodex.models import pinned_revision, resolve_base_model, resolve_tokenizer
from nanodex.pipeline.gate import read_evaluation, require_passed
from nanodex.pipeline.progress import Display, hidden
from nanodex.pipeline.runner import StageResult, Supplies, run_stage
from nanodex.pipeline.signals import StopFlag
from nanodex.pipeline.stages import StageBuilder, build_stage
from nanodex.pipeline.workspace import Workspace
from nanodex.source.checkout import Checkout, SourceLimits
from nanodex.source.credentials import Credentials
from nanodex.source.repository import checkout, resolve


class RunReport(Contract):
    """How a run ended, stage by stage."""

    expert: str = Field(description="Public model name, `<namespace>/<name>`.")
    commit: str
    base_model_revision: str
    stages: tuple[StageResult, ...]
    evaluation: EvaluationReport

    def stage(self, name: StageName) -> StageResult:
        """Return the result of one stage."""
        return next(result for result in self.stages if result.stage is name)

    def require_passed(self) -> None:
        """Raise where the adapter did not pass the gate.

        Raises:
            UserError: BelowThreshold (exit 15), with the scores.
        """
        require_passed(self.evaluation)


def pin(
    expert: CodeExpert, *, credentials: Credentials | None = None, images: Images | None = None
) -> Pinned:
    """Ask what the references of `expert` mean now; nothing is cloned or loaded.

    Raises:
        UserError: no such ref or model, wrong credentials.
        TryAgain: the git server or the hub does not answer.
    """
    return Pinned(
        commit=resolve(expert.spec.source.git, credentials=credentials),
        base_model_revision=pinned_revision(expert.spec.base_model),
        images=images or Images(),
    )


def run_expert(
    expert: CodeExpert,
    *,
    store: ObjectStore,
    cache: Path,
    stop: StopFlag | None = None,
    display: Display = hidden,
    pinned: Pinned | None = None,
    credentials: Credentials | None = None,
    builder: StageBuilder = build_stage,
) -> RunReport:
    """Run all stages in this process; those whose artifact is in the store are skipped.

    A failed gate is no error here: the evaluation is published, `RunReport.require_passed` tells.

    Args:
        expert: what the user wants.
        store: where artifacts are.
        cache: folder that may be lost at any time.
        stop: asks the running stage to stop, see `stop_on_signals`.
        display: shows progress, see `nanodex.pipeline.progress`.
        pinned: commit and base model revision; None asks for them now.
        credentials: for the git server.
        builder: makes the stages.

    Raises:
        UserError, NotServable, TryAgain: from a stage, the store, git or the hub.
        Interrupted: `stop` was set; the next call goes on where this one stopped.
    """
    pinned = pinned or pin(expert, credentials=credentials)
    workspace = Workspace(cache)
    supplies = _supplies(expert, pinned=pinned, cache=cache, credentials=credentials)
    results: dict[StageName, StageResult] = {}
    for name in StageName:
        manifests = {done: result.manifest for done, result in results.items()}
        results[name] = run_stage(
            builder(expert, name),
            identity=identify(expert, name, pinned=pinned, upstream=_digests(manifests)),
            upstream=manifests,
            supplies=supplies,
            store=store,
            workspace=workspace,
            stop=stop or StopFlag(),
            display=display,
        )
    evaluation = workspace.artifact(results[StageName.EVALUATE].manifest, store=store)
    return RunReport(
        expert=expert.model_name,
        commit=pinned.commit,
        base_model_revision=pinned.base_model_revision,
        stages=tuple(results.values()),
        evaluation=read_evaluation(evaluation),
    )


def run_one(
    expert: CodeExpert,
    name: StageName,
    *,
    store: ObjectStore,
    cache: Path,
    stop: StopFlag | None = None,
    display: Display = hidden,
    pinned: Pinned | None = None,
    credentials: Credentials | None = None,
    builder: StageBuilder = build_stage,
    expected_key: str = "",
) -> StageResult:
    """Run one stage on the artifacts of the stages before it; arguments as for `run_expert`.

    `expected_key` is the key that the run must have, as another program computed it; empty for any.

    Raises:
        UserError: a stage before it has no artifact yet; the key is another one; or BelowThreshold
            after evaluate, whose artifact is published all the same.
    """
    pinned = pinned or pin(expert, credentials=credentials)
    workspace = Workspace(cache)
    upstream = find_upstream(expert, name, store=store, pinned=pinned)
    identity = identify(expert, name, pinned=pinned, upstream=_digests(upstream))
    if expected_key not in ("", identity.key):
        # Whoever waits for that key would never see the artifact, and start the work again.
        raise UserError(
            f"this image gives the run of {name} the key {identity.key}, not {expected_key}",
            reason=Reason.INVALID_INPUT,
            hint="Image and operator are of versions that do not fit together; use images of the "
            "operator's version.",
        )
    result = run_stage(
        builder(expert, name),
        identity=identity,
        upstream=upstream,
        supplies=_supplies(expert, pinned=pinned, cache=cache, credentials=credentials),
        store=store,
        workspace=workspace,
        stop=stop or StopFlag(),
        display=display,
    )
    if name is StageName.EVALUATE:
        require_passed(read_evaluation(workspace.artifact(result.manifest, store=store)))
    return result


def find_upstream(
    expert: CodeExpert, name: StageName, *, store: ObjectStore, pinned: Pinned
) -> dict[StageName, Manifest]:
    """Return the manifests of all stages before `name`.

    Raises:
        UserError: one of them has no artifact for these parameters and this commit.
    """
    found: dict[StageName, Manifest] = {}
    for before in itertools.takewhile(lambda stage: stage is not name, StageName):
        identity = identify(expert, before, pinned=pinned, upstream=_digests(found))
        manifest = find(store, scope=identity.scope, stage=before, key=identity.key)
        if manifest is None:
            raise UserError(
                f"{name} needs the artifact of {before}, which is not in {store.uri}",
                reason=Reason.INVALID_INPUT,
                hint=f"Run the stage {before} with the same CodeExpert first.",
            )
        found[before] = manifest
    return found


def _digests(manifests: Mapping[StageName, Manifest]) -> dict[StageName, str]:
    return {name: manifest.digest for name, manifest in manifests.items()}


def _supplies(
    expert: CodeExpert, *, pinned: Pinned, cache: Path, credentials: Credentials | None
) -> Supplies:
    def fetch_source(destination: Path) -> Checkout:
        git = expert.spec.source.git
        return checkout(
            git,
            commit=pinned.commit,
            destination=destination,
            credentials=credentials,
            limits=SourceLimits(max_files=expert.spec.extract.max_files),
        )

    ref = expert.spec.base_model
    if ref.uri.startswith("hf://"):
        # The revision that entered the keys, even if a branch has moved since.
        ref = ref.model_copy(update={"revision": pinned.base_model_revision})

    @functools.cache
    def base_model() -> LanguageModel:
        return resolve_base_model(ref, cache=cache)

    return Supplies(
        checkout=fetch_source,
        tokenizer=lambda: resolve_tokenizer(ref, cache=cache),
        base_model=base_model,
    )
