"""How vLLM is told to serve adapters: arguments and environment, as a pure function.

Whoever starts an engine uses it: `nanodex serve` on one machine, the operator in a Pod. vLLM has
some hundred options and a few of them decide whether answers are right; each one used here says
why.
"""

from dataclasses import dataclass
from typing import Literal

from nanodex.api.desired import BASE_MODEL_NAME

Device = Literal["cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
ServedDtype = Literal["float32", "bfloat16", "float16"]

# Not `vllm serve`: in the CPU build it looks for a distribution named vllm and ends.
ENGINE_MODULE = "vllm.entrypoints.launchers.api_server.entry"
# Linear layers that may carry an adapter. Named one by one, so that lm_head is not wrapped:
# prompt_logprobs in a mixed batch would kill the engine (vLLM issue 16668).
TARGET_MODULES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip

KV_CACHE_OPTION = "--kv-cache-memory-bytes"
EXECUTOR_OPTION = "--distributed-executor-backend"

_ENVIRONMENT = {
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


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What decides the arguments of one engine.

    Attributes:
        model: local folder of the base model.
        socket: Unix socket that vLLM listens on; it opens no port.
        device: which build of vLLM runs.
        dtype: what it computes in.
        max_model_len: tokens of context.
        max_rank: highest rank that can be loaded.
        max_loaded: adapters on the device at once.
        max_cached: adapters in the engine's CPU memory; at least `max_loaded`. GPU only: the CPU
            build has one memory.
        kv_cache_bytes: KV cache of a CPU engine.
    """

    model: str
    socket: str
    device: Device
    dtype: ServedDtype
    max_model_len: int
    max_rank: int
    max_loaded: int
    max_cached: int = 0
    kv_cache_bytes: int = 0

    @property
    def resident(self) -> int:
        """How many adapters may be registered at once without the engine reading them again."""
        return self.max_loaded if self.device == "cpu" else max(self.max_loaded, self.max_cached)


def served_dtype(dtype: Dtype, device: Device) -> ServedDtype:
    """The data type that the engine computes in; `auto` is resolved here, not by vLLM."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if device == "cuda" else "float32"


def engine_arguments(settings: EngineSettings) -> tuple[str, ...]:
    """Return what follows `python -m ENGINE_MODULE`."""
    cpu = settings.device == "cpu"
    # The CPU build reads "no adapter" (-1) as the last slot: a base request beside adapter traffic
    # would get the answer of whatever lies there (vLLM PR 48421). So there is one slot more than
    # the agent ever fills.
    slots = settings.max_loaded + 1 if cpu else settings.max_loaded
    arguments = [
        "--model", settings.model,
        "--served-model-name", BASE_MODEL_NAME,
        "--uds", settings.socket,
        # A second API process would hold a model list of its own.
        "--api-server-count", "1",
        "--dtype", settings.dtype,
        "--max-model-len", str(settings.max_model_len),
        "--enable-lora",
        "--max-loras", str(slots),
        "--max-lora-rank", str(settings.max_rank),
        "--lora-target-modules", *TARGET_MODULES,
        "--generation-config", "vllm",
        "--disable-uvicorn-access-log",
        "--disable-fastapi-docs",
    ]  # fmt: skip
    if cpu:
        # With adapters the CPU build compiles nothing in any case; saying so skips its preparation.
        # Left to itself it takes half of the machine's memory for the KV cache, and gives the model
        # a process of its own: one more start of Python and torch, a GB, and the engine's core,
        # which waits for that process in a loop. Where it says `uni` it means that, too.
        arguments += [
            "--enforce-eager",
            KV_CACHE_OPTION, str(settings.kv_cache_bytes),
            EXECUTOR_OPTION, "vllm.v1.executor.uniproc_executor.UniProcExecutor",
        ]  # fmt: skip
    elif settings.max_cached > settings.max_loaded:
        arguments += ["--max-cpu-loras", str(settings.max_cached)]
    return tuple(arguments)


def engine_environment(device: Device) -> dict[str, str]:
    """Return the environment that the engine needs whatever else is in it."""
    if device == "cpu":
        # Unloading frees no slot, and in the CPU build a slot must stay empty: its development
        # mode alone lets the agent free one. Only the agent reaches the engine's socket.
        # Log-probabilities of prompts are ranked by a compiled function, and an image without a C++
        # compiler would end at the first adapter that is checked.
        return _ENVIRONMENT | {"VLLM_SERVER_DEV_MODE": "1", "TORCH_COMPILE_DISABLE": "1"}
    return dict(_ENVIRONMENT)
