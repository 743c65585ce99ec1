"""Checkpoints that survive a stop and hold nothing that could run: safetensors and JSON.

    step-000040/adapter.safetensors    weights in training precision
                best.safetensors       weights with the lowest held-out loss, where it is measured
                optimizer.safetensors  moments of AdamW
                rng.safetensors        states of the random number generators
                state.json             scheduler, optimizer settings, the rest of the states
                trainer_state.json     what transformers' Trainer remembers
                complete.json          SHA-256 of the others, written last: the commit

A checkpoint whose marker is missing, whose files differ from it, or that another run wrote is not
used.
"""

import hashlib
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from nanodex.api.base import Contract, Sha256

_FOLDER = re.compile(r"^step-(\d+)$")
_MARKER = "complete.json"


class Marker(Contract):
    """complete.json: which run wrote the checkpoint, and its files."""

    run: Sha256
    step: int
    files: dict[str, Sha256]


class SavedState(Contract):
    """state.json: what is not a tensor."""

    scheduler: dict[str, Any]
    param_groups: list[dict[str, Any]]
    numpy_position: int
    numpy_has_gauss: int
    numpy_cached_gaussian: float
    python_version: int
    python_gauss: float | None
    best_loss: float | None
    evaluations_without_better: int


def folder_of(checkpoints: Path, *, step: int) -> Path:
    """Return the folder of the checkpoint at `step`."""
    return checkpoints / f"step-{step:06d}"


def latest(checkpoints: Path, *, run: str) -> Path | None:
    """Return the newest complete checkpoint of `run`, or None.

    Args:
        checkpoints: folder that holds the step folders; it may be missing.
        run: SHA-256 that names what is trained on what with which parameters.
    """
    if not checkpoints.is_dir():
        return None
    found = [
        (int(match[1]), folder)
        for folder in checkpoints.iterdir()
        if (match := _FOLDER.match(folder.name)) and not folder.is_symlink()
    ]
    for step, folder in sorted(found, reverse=True):
        if _is_complete(folder, run=run, step=step):
            return folder
    return None


def begin(folder: Path) -> None:
    """Make `folder` an empty folder; what an interrupted attempt left in it goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def load_state(folder: Path) -> SavedState:
    """Return what state.json of a complete checkpoint holds."""
    return SavedState.model_validate_json((folder / "state.json").read_bytes())


def commit(folder: Path, *, run: str, step: int) -> None:
    """Mark `folder` complete and remove the checkpoints before it."""
    files = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    marker = Marker(run=run, step=step, files=files)
    scratch = folder / f".{_MARKER}"
    scratch.write_text(marker.model_dump_json())
    os.replace(scratch, folder / _MARKER)
    for other in folder.parent.iterdir():
        match = _FOLDER.match(other.name)
        if match and int(match[1]) < step:
            # The marker goes first, so that an interrupted removal leaves no complete checkpoint.
            (other / _MARKER).unlink(missing_ok=True)
            shutil.rmtree(other)


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write `tensors` as they are, on the CPU, in sorted order."""
    save_file({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}, path)


def save_optimizer(optimizer: Any, path: Path) -> list[dict[str, Any]]:
    """Write the optimizer's tensors to `path` and return its settings, which are JSON."""
    state = optimizer.state_dict()
    save_tensors(
        {
            f"{index}.{name}": torch.as_tensor(value)
            for index, values in state["state"].items()
            for name, value in values.items()
        },
        path,
    )
    groups: list[dict[str, Any]] = state["param_groups"]
    return groups


def load_optimizer(optimizer: Any, path: Path, *, param_groups: list[dict[str, Any]]) -> None:
    """Give `optimizer` the state that `save_optimizer` wrote."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(path).items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    # Betas are a tuple in torch and a list in JSON.
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in param_groups
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_random(path: Path) -> dict[str, Any]:
    """Write the tensors of all random number generators and return the rest of their state."""
    version, python_words, python_gauss = random.getstate()
    legacy: Any = np.random.get_state()
    tensors = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(python_words, dtype=torch.int64),
        "numpy": torch.from_numpy(legacy[1].astype(np.int64)),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    save_tensors(tensors, path)
    return {
        "python_version": version,
        "python_gauss": python_gauss,
        "numpy_position": int(legacy[2]),
        "numpy_has_gauss": int(legacy[3]),
        "numpy_cached_gaussian": float(legacy[4]),
    }


def load_random(path: Path, state: SavedState) -> None:
    """Set all random number generators to what `save_random` wrote."""
    tensors = load_file(path)
    words = tuple(int(word) for word in tensors["python"])
    random.setstate((state.python_version, words, state.python_gauss))
    np.random.set_state(
        (
            "MT19937",
            tensors["numpy"].numpy().astype(np.uint32),
            state.numpy_position,
            state.numpy_has_gauss,
            state.numpy_cached_gaussian,
        )
    )
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _is_complete(folder: Path, *, run: str, step: int) -> bool:
    try:
        marker = Marker.model_validate_json((folder / _MARKER).read_bytes())
    except (OSError, ValidationError):
        return False
    if marker.run != run or marker.step != step:
        return False
    present = {file.name for file in folder.iterdir()} - {_MARKER}
    if present != set(marker.files):
        return False
    return all(_sha256(folder / name) == digest for name, digest in marker.files.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
