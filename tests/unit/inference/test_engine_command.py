"""The command line of vLLM is a pure function of the configuration."""

from pathlib import Path

from nanodex.api.engine_arguments import (
    Device,
    EngineSettings,
    engine_arguments,
    served_dtype,
)
from nanodex.api.parameters import InferenceConfig
from nanodex.inference.engine_command import (
    EngineCommand,
    ModelShape,
    build_engine_command,
    parity_limit,
)

SHAPE = ModelShape(layers=30, kv_heads=3, head_dim=64)


def command(device: Device, **config: object) -> EngineCommand:
    return build_engine_command(
        InferenceConfig.model_validate(config),
        base_model=Path("/models/smol"),
        shape=SHAPE,
        device=device,
        socket=Path("/state/run/engine.sock"),
        inherited={
            "PATH": "/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_TOKEN": "secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "VLLM_API_KEY": "secret",
        },
        cache=Path("/cache"),
        python="/venv/bin/python",
    )


def test_the_command_line_of_a_cpu_engine() -> None:
    assert " ".join(command("cpu", max_loaded=3).argv) == (
        "/venv/bin/python -m vllm.entrypoints.launchers.api_server.entry --model /models/smol "
        "--served-model-name base --uds /state/run/engine.sock --api-server-count 1 "
        "--dtype float32 --max-model-len 2048 --enable-lora --max-loras 4 --max-lora-rank 32 "
        "--lora-target-modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj "
        "--generation-config vllm --disable-uvicorn-access-log --disable-fastapi-docs "
        "--enforce-eager --kv-cache-memory-bytes 754974720 "
        "--distributed-executor-backend vllm.v1.executor.uniproc_executor.UniProcExecutor"
    )


def test_the_command_line_of_a_gpu_engine() -> None:
    assert " ".join(command("cuda", max_loaded=3, max_rank=64).argv) == (
        "/venv/bin/python -m vllm.entrypoints.launchers.api_server.entry --model /models/smol "
        "--served-model-name base --uds /state/run/engine.sock --api-server-count 1 "
        "--dtype bfloat16 --max-model-len 2048 --enable-lora --max-loras 3 --max-lora-rank 64 "
        "--lora-target-modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj "
        "--generation-config vllm --disable-uvicorn-access-log --disable-fastapi-docs"
    )


def test_a_cpu_engine_has_one_slot_more_than_is_ever_filled() -> None:
    cpu = command("cpu", max_loaded=5)

    assert cpu.argv[cpu.argv.index("--max-loras") + 1] == "6"
    assert cpu.resident == 5
    # Slots can be freed, or the sixth adapter would need another engine.
    assert cpu.environment["VLLM_SERVER_DEV_MODE"] == "1"
    # An image has no C++ compiler, and a compiled function ranks the log-probabilities.
    assert cpu.environment["TORCH_COMPILE_DISABLE"] == "1"


def test_a_gpu_engine_keeps_more_adapters_in_memory_than_on_the_device() -> None:
    settings = EngineSettings(
        model="/model",
        socket="/run/engine.sock",
        device="cuda",
        dtype="bfloat16",
        max_model_len=8192,
        max_rank=32,
        max_loaded=8,
        max_cached=64,
    )

    assert settings.resident == 64
    assert " --max-loras 8 " in " ".join(engine_arguments(settings))
    assert " ".join(engine_arguments(settings)).endswith("--max-cpu-loras 64")
    assert "VLLM_SERVER_DEV_MODE" not in command("cuda").environment


def test_no_secret_of_ours_reaches_the_engine() -> None:
    assert "secret" not in command("cpu").environment.values()


def test_the_engine_changes_adapters_at_run_time_and_asks_nobody_outside() -> None:
    environment = command("cpu").environment

    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


def test_bytecode_is_kept_in_the_cache_where_it_may_not_be_written_beside_the_sources() -> None:
    environment = command("cpu").environment

    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PYTHONPYCACHEPREFIX"] == "/cache/bytecode"


def test_the_limit_of_parity_follows_the_type_that_is_served() -> None:
    config = InferenceConfig()

    assert parity_limit(config, served_dtype(config.dtype, "cpu")) == 0.005
    assert parity_limit(config, served_dtype(config.dtype, "cuda")) == 0.12
