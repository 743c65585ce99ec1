import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from nanodex.api.identity import Identity
from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import UPSTREAM, StageName
from nanodex.artifacts import find
from nanodex.artifacts.layout import checkpoints_prefix
from nanodex.errors import Interrupted, NotServable, UserError
from nanodex.pipeline import StopFlag, finish, run_stage
from nanodex.pipeline.checkpoints import Mirror, restore
from nanodex.pipeline.runner import Supplies
from nanodex.pipeline.workspace import Workspace

IDENTITY = Identity(
    stage=StageName.TRAIN, scope="team-a", key="0" * 64, parameters={"epochs": 1}, upstream={}
)
EXTRACT = Identity(
    stage=StageName.EXTRACT, scope="team-a", key="1" * 64, parameters={}, upstream={}
)


def not_asked_for(*_):
    raise AssertionError("no stage here needs it")


@pytest.fixture
def run(store, cache: Path, monkeypatch: pytest.MonkeyPatch):
    # The counting stage reads no artifact.
    monkeypatch.setitem(UPSTREAM, StageName.TRAIN, ())

    def run(stage, *, identity=IDENTITY, on: Path = cache, stop: StopFlag | None = None):
        return run_stage(
            stage,
            identity=identity,
            upstream={},
            supplies=Supplies(
                checkout=not_asked_for, tokenizer=not_asked_for, base_model=not_asked_for
            ),
            store=store,
            workspace=Workspace(on),
            stop=stop or StopFlag(),
        )

    return run


def remote_steps(store) -> set[str]:
    prefix = checkpoints_prefix(scope="team-a", key=IDENTITY.key)
    return {info.name.removeprefix(prefix).split("/")[0] for info in store.entries(prefix)}


def test_a_stopped_stage_goes_on_where_it_stopped(run, counting_stage) -> None:
    counted: list[int] = []
    with pytest.raises(Interrupted):
        run(counting_stage(counted, stop_at=4))
    assert not run(counting_stage(counted)).cached
    assert counted == list(range(1, 11))


def test_it_goes_on_on_another_machine(run, counting_stage, tmp_path: Path) -> None:
    counted: list[int] = []
    with pytest.raises(Interrupted):
        run(counting_stage(counted, stop_at=4), on=tmp_path / "evicted")
    run(counting_stage(counted), on=tmp_path / "other")
    assert counted == list(range(1, 11))


def test_a_stopped_stage_publishes_nothing(run, counting_stage, store) -> None:
    with pytest.raises(Interrupted):
        run(counting_stage([], stop_at=4))
    assert find(store, scope="team-a", stage=StageName.TRAIN, key=IDENTITY.key) is None
    assert remote_steps(store) == {"step-000004"}


def test_checkpoints_go_when_the_artifact_is_committed(
    run, counting_stage, store, cache: Path
) -> None:
    with pytest.raises(Interrupted):
        run(counting_stage([], stop_at=4))
    run(counting_stage([]))
    assert remote_steps(store) == set()
    assert not (cache / "checkpoints" / IDENTITY.key).exists()


def test_an_incomplete_checkpoint_is_not_used(run, counting_stage, store, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(counting_stage([], stop_at=4), on=tmp_path / "evicted")
    # Another one was being copied when the machine went away: its marker is missing.
    prefix = checkpoints_prefix(scope="team-a", key=IDENTITY.key)
    store.write(f"{prefix}step-000009/state.json", b"{}")
    restored = restore(IDENTITY, store=store, folder=tmp_path)
    assert restored is not None
    assert restored.name == "step-000004"


def test_a_checkpoint_that_may_execute_is_refused(store, tmp_path: Path) -> None:
    prefix = checkpoints_prefix(scope="team-a", key=IDENTITY.key)
    store.write(f"{prefix}step-000009/optimizer.pt", b"\x80")
    store.write(f"{prefix}step-000009/complete.json", b"{}")
    with pytest.raises(NotServable):
        restore(IDENTITY, store=store, folder=tmp_path)


def test_names_that_nanodex_does_not_write_are_ignored(store, tmp_path: Path) -> None:
    prefix = checkpoints_prefix(scope="team-a", key=IDENTITY.key)
    for name in ("step-1/sub/state.json", "other/complete.json", "step-x/complete.json"):
        store.write(prefix + name, b"{}")
    assert restore(IDENTITY, store=store, folder=tmp_path) is None


def test_the_mirror_keeps_the_two_newest_checkpoints(store, tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        folder = tmp_path / f"step-{step:06d}"
        folder.mkdir()
        (folder / "complete.json").write_text("{}")
        with pytest.raises(Interrupted), Mirror(IDENTITY, store=store, folder=tmp_path):
            raise Interrupted("", reason=Reason.INTERRUPTED, hint="")
    assert remote_steps(store) == {"step-000003", "step-000004"}


def save_checkpoint(folder: Path, step: int) -> None:
    """Save one as training does: it takes the place of the one before."""
    saved = folder / f"step-{step:06d}"
    saved.mkdir()
    (saved / "adapter.safetensors").write_text(f"weights of {step}")
    (saved / "complete.json").write_text("{}")
    shutil.rmtree(folder / f"step-{step - 1:06d}", ignore_errors=True)


def interrupted_after(store, folder: Path, *, first: Path | None = None) -> None:
    """Run a mirror until `first` is there, then interrupt the stage."""
    with (
        pytest.raises(Interrupted),
        Mirror(IDENTITY, store=store, folder=folder, interval_seconds=0.01),
    ):
        while first is not None and not first.exists():
            time.sleep(0.01)
        raise Interrupted("", reason=Reason.INTERRUPTED, hint="")


def test_a_checkpoint_arrives_whole_though_the_next_replaces_it_meanwhile(
    store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    upload = store.upload
    copied = tmp_path / "copied"

    def slowly(name: str, path: Path, *, sha256: str) -> None:
        upload(name, path, sha256=sha256)
        if name.endswith("step-000001/adapter.safetensors"):
            save_checkpoint(folder, 2)
        if name.endswith("step-000001/complete.json"):
            assert restore(IDENTITY, store=store, folder=elsewhere) is not None
            copied.touch()

    monkeypatch.setattr(store, "upload", slowly)
    save_checkpoint(folder, 1)
    interrupted_after(store, folder, first=copied)
    assert (elsewhere / "step-000001" / "adapter.safetensors").read_text() == "weights of 1"
    assert remote_steps(store) == {"step-000001", "step-000002"}
    assert [path.name for path in folder.iterdir()] == ["step-000002"]


def test_a_file_system_without_links_and_one_that_is_full_leave_the_stages_outcome(
    store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_, **__):
        raise PermissionError("no links here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", refuse)
        save_checkpoint(tmp_path, 1)
        interrupted_after(store, tmp_path)
    assert "step-000001" in remote_steps(store)

    monkeypatch.setattr(store, "upload", refuse)
    save_checkpoint(tmp_path, 2)
    interrupted_after(store, tmp_path)
    assert "step-000002" not in remote_steps(store)


def test_a_stage_that_ends_waits_for_its_last_checkpoint_alone(
    store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    mirror = Mirror(IDENTITY, store=store, folder=folder, interval_seconds=0.01)
    upload, begun = store.upload, threading.Event()

    def slowly(name: str, path: Path, *, sha256: str) -> None:
        upload(name, path, sha256=sha256)
        if name.endswith("step-000001/adapter.safetensors"):
            save_checkpoint(folder, 2)
            begun.set()
            assert mirror._done.wait(60)

    monkeypatch.setattr(store, "upload", slowly)
    save_checkpoint(folder, 1)
    with pytest.raises(Interrupted), mirror:
        begun.wait()
        raise Interrupted("", reason=Reason.INTERRUPTED, hint="")
    prefix = checkpoints_prefix(scope="team-a", key=IDENTITY.key)
    complete = {info.name for info in store.entries(prefix) if info.name.endswith("complete.json")}
    assert complete == {f"{prefix}step-000002/complete.json"}


def test_what_a_killed_process_held_goes(store, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    (folder / ".held-x").mkdir(parents=True)
    (folder / ".held-x" / "adapter.safetensors").write_text("much")
    interrupted_after(store, folder)
    assert not list(folder.iterdir())


def test_progress_is_in_the_store_while_a_stage_runs(run, counting_stage, store) -> None:
    with pytest.raises(Interrupted):
        run(counting_stage([], stop_at=4))
    report = json.loads(store.read(f"v1/team-a/train/{IDENTITY.key}/progress.json", limit=10_000))
    assert 1 <= report["done"] <= 4
    assert (report["total"], report["unit"]) == (10, "steps")


@pytest.mark.parametrize("extra", ["training_args.bin", "notes.txt"])
def test_a_file_that_the_contract_does_not_name_is_not_published(
    run, counting_stage, store, extra: str
) -> None:
    class Untidy(counting_stage):
        def run(self, inputs, *, out, progress):
            (out / extra).write_bytes(b"")
            return super().run(inputs, out=out, progress=progress)

    with pytest.raises(RuntimeError, match=extra):
        run(Untidy([]))
    assert find(store, scope="team-a", stage=StageName.TRAIN, key=IDENTITY.key) is None


def test_a_file_that_is_missing_publishes_nothing(run, counting_stage, store) -> None:
    class Forgetful(counting_stage):
        def run(self, inputs, *, out, progress):
            return {}

    with pytest.raises(RuntimeError, match=r"training\.json"):
        run(Forgetful([]))
    assert find(store, scope="team-a", stage=StageName.TRAIN, key=IDENTITY.key) is None


def test_two_runs_of_one_key_on_one_machine_do_the_work_once(run, counting_stage) -> None:
    counted: list[int] = []
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(run(counting_stage(counted))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == list(range(1, 11))
    assert sorted(result.cached for result in results) == [False, True, True]


def test_who_waits_for_another_run_can_be_stopped(run, counting_stage, cache: Path) -> None:
    stop = StopFlag()
    workspace = Workspace(cache)
    with workspace.lock(IDENTITY, stop=StopFlag()):
        threading.Timer(0.2, stop.stop).start()
        with pytest.raises(Interrupted):
            run(counting_stage([]), stop=stop)


def test_a_stage_without_checkpoints_stops_at_its_next_update(run, tiny_builder, expert) -> None:
    stop = StopFlag()

    class Impatient(type(tiny_builder()(expert, StageName.EXTRACT))):
        def run(self, inputs, *, out, progress):
            stop.stop()
            assert progress.stopping
            return super().run(inputs, out=out, progress=progress)

    with pytest.raises(Interrupted):
        run(Impatient(StageName.EXTRACT, []), identity=EXTRACT, stop=stop)


def test_the_last_word_of_a_stage(run, counting_stage, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    message = finish(StageName.TRAIN, lambda: run(counting_stage([])), message_path=log)
    assert message.exit_code is ExitCode.DONE
    assert message.metrics == {"steps": 10}
    assert message.digest.startswith("sha256:")
    assert TerminationMessage.model_validate_json(log.read_bytes()) == message


def test_the_last_word_of_an_error_has_reason_and_hint(tmp_path: Path) -> None:
    def fail():
        raise UserError(
            "no such branch" + "!" * 9000,
            reason=Reason.REF_NOT_FOUND,
            hint="Correct it.",
            exit_code=ExitCode.REF_NOT_FOUND,
        )

    log = tmp_path / "termination-log"
    message = finish(StageName.EXTRACT, fail, message_path=log)
    assert (message.exit_code, message.reason) == (11, Reason.REF_NOT_FOUND)
    assert message.hint == "Correct it."
    assert os.path.getsize(log) <= 4096


def test_a_bug_exits_with_one(caplog: pytest.LogCaptureFixture) -> None:
    message = finish(StageName.EXTRACT, lambda: 1 / 0)
    assert message.exit_code is ExitCode.BUG
    assert "ZeroDivisionError" in caplog.text
