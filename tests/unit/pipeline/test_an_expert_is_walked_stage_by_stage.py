from pathlib import Path

import pytest

from nanodex.api.identity import Pinned
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import remove
from nanodex.errors import TryAgain, UserError
from nanodex.pipeline import StopFlag, run_expert, run_one
from nanodex.pipeline.workspace import Workspace

E, B, D, T, V = StageName


def test_the_first_run_runs_all_stages_in_order(expert, tiny_builder, store, cache, pinned) -> None:
    builder = tiny_builder()
    report = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=builder)
    assert builder.ran == [E, B, D, T, V]
    assert [result.cached for result in report.stages] == [False] * 5
    assert all(result.peak_bytes > 1 << 20 for result in report.stages)
    assert report.expert == "team-a/payments"
    assert report.stage(T).manifest.metrics == {"things": 1, "nested.loss": 0.5}
    assert report.stage(T).manifest.upstream == {"dataset": report.stage(D).digest}


def test_the_second_run_runs_nothing_and_returns_the_same(
    expert, tiny_builder, store, cache, pinned
) -> None:
    first = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    builder = tiny_builder()
    second = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=builder)
    assert builder.ran == []
    assert all(result.cached for result in second.stages)
    assert [each.manifest for each in first.stages] == [each.manifest for each in second.stages]


def test_another_machine_finds_the_artifacts_in_the_store(
    expert, tiny_builder, store, tmp_path: Path, pinned
) -> None:
    run_expert(expert, store=store, cache=tmp_path / "one", pinned=pinned, builder=tiny_builder())
    builder = tiny_builder()
    other = tmp_path / "other"
    report = run_expert(expert, store=store, cache=other, pinned=pinned, builder=builder)
    assert builder.ran == []
    folder = Workspace(other).artifact(report.stage(T).manifest, store=store)
    assert (folder / "adapter/weights.json").is_file()


def test_another_number_of_epochs_reruns_train_and_evaluate(
    with_spec, tiny_builder, store, cache, pinned
) -> None:
    first, second = tiny_builder(), tiny_builder()
    three, four = with_spec(training={"epochs": 3}), with_spec(training={"epochs": 4})
    run_expert(three, store=store, cache=cache, pinned=pinned, builder=first)
    run_expert(four, store=store, cache=cache, pinned=pinned, builder=second)
    assert second.ran == [T, V]


def test_a_new_commit_with_the_same_files_reruns_extract_alone(
    expert, tiny_builder, store, cache, pinned
) -> None:
    run_expert(expert, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    builder = tiny_builder()
    newer = Pinned(commit="b" * 40, base_model_revision=pinned.base_model_revision)
    run_expert(expert, store=store, cache=cache, pinned=newer, builder=builder)
    assert builder.ran == [E]


def test_a_new_commit_with_other_files_reruns_extract_and_what_reads_it(
    expert, tiny_builder, store, cache, pinned
) -> None:
    run_expert(expert, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    builder = tiny_builder(content="other code")
    newer = Pinned(commit="b" * 40, base_model_revision=pinned.base_model_revision)
    run_expert(expert, store=store, cache=cache, pinned=newer, builder=builder)
    # The tiny brain does not write what it read, so its bytes are the same as before.
    assert builder.ran == [E, B]


def test_a_lost_artifact_is_made_again_and_what_follows_is_kept(
    expert, tiny_builder, store, cache, pinned
) -> None:
    first = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    remove(store, first.stage(D).manifest)
    builder = tiny_builder()
    run_expert(expert, store=store, cache=cache, pinned=pinned, builder=builder)
    assert builder.ran == [D]


def test_a_failed_gate_publishes_the_evaluation_and_says_so_each_time(
    expert, tiny_builder, store, cache, pinned
) -> None:
    for runs in ([E, B, D, T, V], []):
        builder = tiny_builder(passed=False)
        report = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=builder)
        assert builder.ran == runs
        with pytest.raises(UserError) as caught:
            report.require_passed()
        assert caught.value.reason is Reason.BELOW_THRESHOLD
        assert caught.value.exit_code is ExitCode.BELOW_THRESHOLD
        assert "0.40 [0.30, 0.50]" in caught.value.message


def test_a_passed_gate_is_silent(expert, tiny_builder, store, cache, pinned) -> None:
    report = run_expert(expert, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    report.require_passed()


def test_one_stage_runs_on_the_artifacts_of_those_before(
    expert, tiny_builder, store, tmp_path: Path, pinned
) -> None:
    builder = tiny_builder()
    for number, stage in enumerate(StageName):
        # Each on a machine of its own, as Jobs are.
        cache = tmp_path / f"machine-{number}"
        result = run_one(expert, stage, store=store, cache=cache, pinned=pinned, builder=builder)
        assert not result.cached
    assert builder.ran == list(StageName)


def test_one_stage_says_which_stage_is_missing(expert, tiny_builder, store, cache, pinned) -> None:
    with pytest.raises(UserError) as caught:
        run_one(expert, T, store=store, cache=cache, pinned=pinned, builder=tiny_builder())
    assert "extract" in caught.value.message
    assert "Run the stage extract" in caught.value.hint


def test_evaluate_alone_fails_at_the_gate_too(expert, tiny_builder, store, cache, pinned) -> None:
    builder = tiny_builder(passed=False)
    run_expert(expert, store=store, cache=cache, pinned=pinned, builder=builder)
    with pytest.raises(UserError) as caught:
        run_one(expert, V, store=store, cache=cache, pinned=pinned, builder=builder)
    assert caught.value.reason is Reason.BELOW_THRESHOLD


def test_a_damaged_artifact_is_not_trained_on(
    expert, tiny_builder, store, tmp_path: Path, pinned
) -> None:
    builder = tiny_builder()
    run_one(expert, E, store=store, cache=tmp_path / "a", pinned=pinned, builder=builder)
    blob = next((tmp_path / "store/v1/team-a/blobs/sha256").iterdir())
    blob.write_bytes(blob.read_bytes().replace(b"c", b"C", 1))
    with pytest.raises(TryAgain) as caught:
        run_one(expert, B, store=store, cache=tmp_path / "b", pinned=pinned, builder=builder)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert builder.ran == [E]


def test_a_stop_between_stages_keeps_what_is_done(
    expert, tiny_builder, store, cache, pinned
) -> None:
    from nanodex.errors import Interrupted

    stop, builder = StopFlag(), tiny_builder()

    def stopping_after_brain(expert, name):
        if name is D:
            stop.stop()
        return builder(expert, name)

    arguments = {"store": store, "cache": cache, "pinned": pinned}
    with pytest.raises(Interrupted):
        run_expert(expert, **arguments, stop=stop, builder=stopping_after_brain)
    run_expert(expert, **arguments, builder=builder)
    assert builder.ran == [E, B, D, T, V]
