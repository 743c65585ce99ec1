"""Which checkpoint is taken up."""

from pathlib import Path

import torch

from nanodex.trainer import checkpoints

RUN = "a" * 64
OTHER = "b" * 64


def write(folder: Path, *, step: int, run: str = RUN) -> Path:
    target = checkpoints.folder_of(folder, step=step)
    checkpoints.begin(target)
    checkpoints.save_tensors({"weight": torch.ones(2) * step}, target / "adapter.safetensors")
    checkpoints.commit(target, run=run, step=step)
    return target


def test_the_newest_complete_checkpoint_is_taken_and_older_ones_go(tmp_path: Path) -> None:
    first = write(tmp_path, step=9)
    second = write(tmp_path, step=10)
    assert checkpoints.latest(tmp_path, run=RUN) == second
    assert not first.exists()


def test_a_checkpoint_without_its_marker_does_not_count(tmp_path: Path) -> None:
    whole = write(tmp_path, step=9)
    checkpoints.begin(tmp_path / "step-000010")
    assert checkpoints.latest(tmp_path, run=RUN) == whole


def test_a_changed_file_makes_a_checkpoint_void(tmp_path: Path) -> None:
    folder = write(tmp_path, step=9)
    (folder / "adapter.safetensors").write_bytes(b"something else")
    assert checkpoints.latest(tmp_path, run=RUN) is None


def test_a_file_that_the_marker_does_not_name_makes_a_checkpoint_void(tmp_path: Path) -> None:
    folder = write(tmp_path, step=9)
    (folder / "optimizer.pt").write_bytes(b"a pickle")
    assert checkpoints.latest(tmp_path, run=RUN) is None


def test_a_checkpoint_of_another_run_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, step=9, run=OTHER)
    assert checkpoints.latest(tmp_path, run=RUN) is None


def test_a_folder_that_calls_itself_by_another_step_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, step=9).rename(tmp_path / "step-000099")
    assert checkpoints.latest(tmp_path, run=RUN) is None


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "absent", run=RUN) is None


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    import random

    import numpy as np

    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    numbers = checkpoints.save_random(tmp_path / "rng.safetensors")
    state = checkpoints.SavedState(
        scheduler={}, param_groups=[], best_loss=None, evaluations_without_better=0, **numbers
    )
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(4)
    np.random.seed(4)
    torch.manual_seed(4)
    checkpoints.load_random(tmp_path / "rng.safetensors", state)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
