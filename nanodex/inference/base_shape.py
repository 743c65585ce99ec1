"""What an adapter must fit: the linear layers of the base model and their sizes.

Read from the base model's own safetensors headers, so nothing here knows an architecture.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanodex.api.engine_arguments import TARGET_MODULES
from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.inference.engine_command import ModelShape
from nanodex.inference.tensor_header import read_tensors

_MAX_CONFIG_BYTES = 1 << 20
_MAX_INDEX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class BaseShape:
    """Sizes of a base model."""

    # (output features, input features) of each layer that may carry an adapter, by its full name.
    linear: Mapping[str, tuple[int, int]]
    cache: ModelShape


def read_base_shape(folder: Path) -> BaseShape:
    """Read the sizes of the base model in `folder`.

    Raises:
        UserError: no config.json, no safetensors, or sizes that are not numbers.
    """
    config = _read_json(folder / "config.json", _MAX_CONFIG_BYTES)
    # Models that see and hear keep the sizes of their language part one level down.
    config = config.get("text_config", config)
    linear: dict[str, tuple[int, int]] = {}
    for path in _weight_files(folder):
        for name, tensor in read_tensors(path).items():
            module, _, kind = name.rpartition(".")
            if kind == "weight" and module.rpartition(".")[2] in TARGET_MODULES:
                if len(tensor.shape) == 2:
                    linear[module] = (tensor.shape[0], tensor.shape[1])
    try:
        heads = int(config["num_attention_heads"])
        cache = ModelShape(
            layers=int(config["num_hidden_layers"]),
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _unusable(folder, f"config.json lacks a size: {error!r}") from error
    if not linear:
        raise _unusable(folder, "no linear layer that could carry an adapter was found")
    return BaseShape(linear=linear, cache=cache)


def _weight_files(folder: Path) -> list[Path]:
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = _read_json(folder / "model.safetensors.index.json", _MAX_INDEX_BYTES)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict):
        raise _unusable(folder, "model.safetensors.index.json has no weight_map")
    names = {str(name) for name in weight_map.values()}
    if any("/" in name or name in ("", ".", "..") for name in names):
        raise _unusable(folder, "model.safetensors.index.json names a file outside the folder")
    return [folder / name for name in sorted(names)]


def _read_json(path: Path, limit: int) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
        value = json.loads(content) if len(content) <= limit else None
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path.parent, f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise _unusable(path.parent, f"{path.name} is too large or not an object")
    return value


def _unusable(folder: Path, why: str) -> UserError:
    return UserError(
        f"the base model in {folder} cannot be served: {why}",
        reason=Reason.MODEL_UNAVAILABLE,
        hint="give the folder of a model in safetensors, as transformers saves it",
    )
