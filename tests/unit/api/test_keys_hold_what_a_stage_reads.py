"""Equal inputs give equal keys; a parameter changes the keys of the stages that read it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned, identify, parameters_of
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    TrainingConfig,
)
from nanodex.api.stages import UPSTREAM, StageName

E, B, D, T, V = StageName
PINNED = Pinned(commit="a" * 40, base_model_revision="r1")
DIGESTS = {stage: f"sha256:{stage.value}" for stage in StageName}
SPEC: dict[str, Any] = {
    "source": {"git": {"url": "https://example.com/acme/payments.git", "ref": {"branch": "main"}}},
    "baseModel": {"uri": "bundled://smollm2-135m-instruct"},
}


def expert(changes: dict[str, Any] | None = None, **metadata: str) -> CodeExpert:
    """A CodeExpert with the fields at dotted paths changed."""
    spec = CodeExpert.model_validate({"metadata": {"name": "x"}, "spec": SPEC}).spec.model_dump(
        mode="json", by_alias=True
    )
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        target = spec
        for parent in parents:
            target = target[parent]
        target[last] = value
    return CodeExpert.model_validate({"metadata": {"name": "x", **metadata}, "spec": spec})


def keys(
    of: CodeExpert, *, pinned: Pinned = PINNED, digests: dict[StageName, str] = DIGESTS
) -> dict[StageName, str]:
    return {stage: identify(of, stage, pinned=pinned, upstream=digests).key for stage in StageName}


def changed(changes: dict[str, Any]) -> set[StageName]:
    before, after = keys(expert()), keys(expert(changes))
    return {stage for stage in StageName if before[stage] != after[stage]}


READ = [
    ("source.git.include", ["**/*.py"], {E}),
    ("source.git.exclude", ["vendor/**"], {E}),
    ("source.git.subPath", "services", {E}),
    ("source.git.url", "https://example.com/acme/other.git", {E}),
    ("extract.languages", ["python"], {E}),
    ("extract.maxFileBytes", 4096, {E}),
    ("extract.maxFiles", 10, {E}),
    ("extract.fileTimeoutSeconds", 5, {E}),
    ("brain.maxTokens", 100, {B}),
    ("dataset.seed", 1, {D}),
    ("dataset.maxExamples", 100, {D}),
    ("dataset.maxFacts", 100, {D}),
    ("dataset.formsPerFact", 4, {D}),
    ("dataset.negativesRatio", "0.25", {D}),
    ("dataset.holdoutPercent", 10, {D}),
    ("dataset.minConfidence", "0.95", {D}),
    ("training.method", "lora", {T}),
    ("training.lora.r", 8, {T}),
    ("training.lora.alpha", 16, {T}),
    ("training.lora.dropout", "0.1", {T}),
    ("training.epochs", 7, {T}),
    ("training.learningRate", "1e-3", {T}),
    ("training.scheduler", "linear", {T}),
    ("training.warmupPercent", 10, {T}),
    ("training.batchSize", 32, {T}),
    ("training.microBatchSize", 4, {T}),
    ("training.maxSeqLength", 512, {T}),
    ("training.checkpointSteps", 10, {T}),
    ("training.earlyStoppingPatience", 0, {T}),
    ("training.seed", 1, {T}),
    ("training.parityPrompts", 2, {T}),
    ("evaluation.arms", ["base", "adapter"], {V}),
    ("evaluation.maxQuestions", 10, {V}),
    ("evaluation.maxNewTokens", 32, {V}),
    ("evaluation.bootstrapSamples", 200, {V}),
    ("evaluation.seed", 1, {V}),
    ("evaluation.minScore", "0.9", {V}),
    ("evaluation.mustBeatBase", False, {V}),
    ("baseModel.uri", "hf://acme/model", {B, T, V}),
]
NOT_READ = [
    ("source.git.ref", {"branch": "develop"}),
    ("source.git.url", "ssh://git@mirror.example.com/payments.git"),
    ("source.git.secretRef", {"name": "git"}),
    ("source.git.interval", "1h"),
    ("extract.workers", 4),
    ("baseModel.secretRef", {"name": "hf"}),
    ("training.nodes", 2),
    ("training.activeDeadline", "1h"),
    ("training.backoffLimit", 1),
    ("training.queueName", "gpus"),
    ("training.pod", {"resources": {"limits": {"nvidia.com/gpu": "1"}}}),
    ("evaluation.promotion", "Manual"),
    ("serving.enabled", False),
    ("artifacts.historyLimit", 1),
    ("suspend", True),
    ("retryNonce", "again"),
]


def _named(value: object) -> str:
    """Name a parameter of a test; a set has no order of its own."""
    ordered = ",".join(sorted(value)) if isinstance(value, set) else value
    return str(ordered)[:40]


@pytest.mark.parametrize(("path", "value", "stages"), READ, ids=_named)
def test_a_parameter_changes_the_key_of_its_stage_only(
    path: str, value: Any, stages: set[StageName]
) -> None:
    assert changed({path: value}) == stages


@pytest.mark.parametrize(("path", "value"), NOT_READ, ids=_named)
def test_what_no_stage_reads_changes_no_key(path: str, value: Any) -> None:
    extra = {"source.git.secretRef": {"name": "git"}} if str(value).startswith("ssh:") else {}
    assert changed({path: value, **extra}) == set()


@pytest.mark.parametrize(
    ("section", "model", "left_out"),
    [
        ("extract", ExtractorConfig, {"workers"}),
        ("brain", BrainConfig, set()),
        ("dataset", DatasetConfig, set()),
        ("training", TrainingConfig, set()),
        ("evaluation", EvaluationConfig, set()),
    ],
)
def test_no_parameter_is_forgotten_in_the_table(
    section: str, model: type, left_out: set[str]
) -> None:
    tested = {path.split(".")[1] for path, _, _ in READ if path.startswith(f"{section}.")}
    fields = {field.alias or name for name, field in model.model_fields.items()}
    assert tested == fields - left_out


@pytest.mark.parametrize("stage", list(StageName))
@pytest.mark.parametrize("upstream", list(StageName))
def test_an_upstream_digest_enters_the_keys_of_its_readers(
    stage: StageName, upstream: StageName
) -> None:
    other = keys(expert(), digests={**DIGESTS, upstream: "sha256:other"})
    assert (other[stage] != keys(expert())[stage]) == (upstream in UPSTREAM[stage])


def test_the_commit_enters_extract_alone() -> None:
    other = keys(expert(), pinned=Pinned(commit="b" * 40, base_model_revision="r1"))
    assert {stage for stage in StageName if other[stage] != keys(expert())[stage]} == {E}


def test_the_base_model_revision_enters_the_stages_that_use_the_model() -> None:
    other = keys(expert(), pinned=Pinned(commit="a" * 40, base_model_revision="r2"))
    assert {stage for stage in StageName if other[stage] != keys(expert())[stage]} == {B, T, V}


def test_namespace_and_image_enter_every_key_and_the_name_none() -> None:
    usual = keys(expert())
    image = keys(expert(), pinned=Pinned("a" * 40, "r1", images=Images("sha256:1", "sha256:2")))
    namespace = keys(expert(namespace="team-b"))
    assert all(usual[stage] != image[stage] for stage in StageName)
    assert all(usual[stage] != namespace[stage] for stage in StageName)
    assert keys(expert(name="other")) == usual


CHANGES = st.lists(st.sampled_from(READ), unique_by=lambda read: read[0], max_size=6)


@given(CHANGES)
def test_several_changes_change_the_keys_of_all_their_stages_and_no_other(changes: Any) -> None:
    together = changed({path: value for path, value, _ in changes})
    assert together == set().union(*(stages for _, _, stages in changes))


@given(CHANGES, st.randoms(use_true_random=False))
def test_equal_inputs_give_equal_keys_in_any_order(changes: Any, random: Any) -> None:
    shuffled = random.sample(changes, len(changes))
    one = expert({path: value for path, value, _ in changes})
    other = expert({path: value for path, value, _ in shuffled})
    assert keys(one) == keys(other)
    # And they survive a trip through YAML or the API server.
    assert keys(CodeExpert.model_validate_json(one.model_dump_json(by_alias=True))) == keys(one)


@pytest.mark.parametrize("stage", list(StageName))
def test_parameters_are_plain_json(stage: StageName) -> None:
    import json

    parameters = parameters_of(expert(), stage)
    assert json.loads(json.dumps(parameters)) == parameters
