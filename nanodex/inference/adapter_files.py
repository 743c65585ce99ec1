"""Is this folder an adapter that the engine can load? Decided before the engine sees it.

vLLM answers 500 to some bad adapters, loads others and serves nonsense, and can be taken down by a
third kind. An adapter is a stranger's file in a shared server, so it is measured first.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.records import AdapterCard
from nanodex.errors import NotServable
from nanodex.inference.tensor_header import Tensor, read_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CARD = "nanodex.json"
# The engine sees these three and nothing else of the folder.
SERVED_FILES = (CONFIG, WEIGHTS, CARD)

_PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"})
_MAX_JSON_BYTES = 8 << 20
_SERVED_DTYPES = frozenset({"F32", "F16", "BF16"})
_PREFIX = "base_model.model."
_LORA_TENSOR = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")
# Fields of adapter_config.json that vLLM refuses or, worse, ignores. Each must be absent or empty.
_UNSUPPORTED = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "rank_pattern": "a rank for each module",
    "alpha_pattern": "an alpha for each module",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trained tokens",
    "target_parameters": "trained parameters",
    "lora_bias": "a bias in the adapter",
    "fan_in_fan_out": "transposed weights",
    "megatron_config": "Megatron layers",
    "use_qalora": "QALoRA",
}


def check_adapter(
    folder: Path, *, linear: Mapping[str, tuple[int, int]], max_rank: int
) -> AdapterCard:
    """Check that the engine can load the adapter in `folder`, and return what training says of it.

    Args:
        folder: holds adapter_config.json, adapter_model.safetensors and nanodex.json.
        linear: (output, input) features of the base model's layers, by full name.
        max_rank: highest rank that the engine has room for.

    Raises:
        NotServable: it cannot; the message says what is wrong.
    """
    check_listing(folder)
    rank = _check_config(_read_json(folder / CONFIG), max_rank=max_rank)
    try:
        tensors = read_tensors(folder / WEIGHTS)
    except OSError as error:
        raise _refused(f"{WEIGHTS} cannot be read: {error}") from error
    _check_tensors(tensors, linear=linear, rank=rank)
    try:
        card = AdapterCard.model_validate(_read_json(folder / CARD))
    except ValidationError as error:
        first = error.errors()[0]
        raise _refused(
            f"{CARD} is not an adapter card: {first['msg']} at {first['loc']}"
        ) from error
    if card.rank != rank:
        raise _refused(f"{CARD} says rank {card.rank}, {CONFIG} says {rank}")
    for number, prompt in enumerate(card.parity):
        if {len(prompt.logprobs), len(prompt.base_logprobs)} != {len(prompt.tokens) - 1}:
            raise _refused(f"parity prompt {number} has another number of values than tokens")
    if not card.parity:
        raise _refused(f"{CARD} holds no parity prompt: what is loaded could not be proved")
    return card


def check_listing(folder: Path) -> None:
    """Check that a folder holds an adapter's files and nothing that would have to be unpickled.

    Raises:
        NotServable: it does not.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise _refused(f"the adapter's folder cannot be read: {error}") from error
    for entry in entries:
        if entry.suffix.lower() in _PICKLED:
            raise _refused(f"{entry.name} would have to be unpickled; only safetensors are served")
    for name in SERVED_FILES:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise _refused(f"{name} is missing or not a plain file")


def _check_config(config: dict[str, Any], *, max_rank: int) -> int:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _refused(f"peft_type is {kind!r:.40}, only LORA can be served")
    for field, what in _UNSUPPORTED.items():
        if config.get(field):
            raise _refused(f"{field} is set: vLLM cannot serve {what}")
    if config.get("bias", "none") != "none":
        raise _refused("bias is set: vLLM cannot serve trained biases")
    rank = config.get("r")
    if type(rank) is not int or rank < 1:
        raise _refused(f"r is {rank!r:.40}, not a rank")
    if rank > max_rank:
        raise NotServable(
            f"the adapter's rank {rank} is above the server's {max_rank}",
            reason=Reason.RANK_TOO_HIGH,
            hint=f"train with training.lora.r at most {max_rank}, or raise the server's maxRank",
            exit_code=ExitCode.RANK_TOO_HIGH,
        )
    return rank


def _check_tensors(
    tensors: Mapping[str, Tensor], *, linear: Mapping[str, tuple[int, int]], rank: int
) -> None:
    sides: dict[str, set[str]] = {}
    for name, tensor in tensors.items():
        match = _LORA_TENSOR.match(name.removeprefix(_PREFIX))
        module = match["module"] if match and name.startswith(_PREFIX) else ""
        if match is None or module not in linear:
            raise _refused(f"{name!r:.120} belongs to no linear layer of the base model")
        if tensor.dtype not in _SERVED_DTYPES:
            raise _refused(f"{name} has type {tensor.dtype}; F32, F16 and BF16 are served")
        outputs, inputs = linear[module]
        expected = (rank, inputs) if match["side"] == "A" else (outputs, rank)
        if tensor.shape != expected:
            raise _refused(f"{name} has shape {tensor.shape}, the base model needs {expected}")
        sides.setdefault(module, set()).add(match["side"])
    if not sides:
        raise _refused(f"{WEIGHTS} holds no tensor")
    for module, found in sides.items():
        if found != {"A", "B"}:
            raise _refused(f"{module} has lora_{found.pop()} without its other half")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_JSON_BYTES + 1)
        value = json.loads(content) if len(content) <= _MAX_JSON_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(f"{path.name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise _refused(f"{path.name} is too large or not an object")
    return value


def _refused(message: str) -> NotServable:
    return NotServable(
        message,
        reason=Reason.NOT_SERVABLE,
        hint="train the adapter with nanodex, which writes only what the server can load",
    )
