"""The shape of the adapter, and the refusal of shapes that vLLM would not load.

A day of training is worth nothing if the engine answers the load with 500, so what it refuses is
refused before the first step.
"""

from typing import Any

from nanodex.api.parameters import LoraParameters
from nanodex.api.reasons import ExitCode, Reason
from nanodex.errors import NotServable


def lora_config(parameters: LoraParameters) -> Any:
    """Return peft's LoraConfig for `parameters`."""
    from peft import LoraConfig, TaskType

    return LoraConfig(
        r=parameters.r,
        lora_alpha=parameters.alpha,
        lora_dropout=float(parameters.dropout),
        target_modules=parameters.target_modules,
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )


def require_servable(config: Any, *, max_rank: int) -> None:
    """Check that vLLM can serve an adapter of `config`, a peft LoraConfig.

    The rules are those of vLLM's PEFTHelper: no DoRA, no bias, no fully trained modules, one rank
    for all layers, and a rank that the server was started for.

    Raises:
        NotServable: it cannot.
    """
    if config.r > max_rank:
        raise NotServable(
            f"rank {config.r} is above the server's limit of {max_rank}",
            reason=Reason.RANK_TOO_HIGH,
            hint="lower training.lora.r or raise adapters.maxRank of the ModelServer",
            exit_code=ExitCode.RANK_TOO_HIGH,
        )
    refused = {
        "DoRA": config.use_dora,
        "a trained bias": config.bias != "none",
        "fully trained modules": bool(config.modules_to_save),
        "ranks by layer": bool(config.rank_pattern or config.alpha_pattern),
    }
    for name, present in refused.items():
        if present:
            raise NotServable(
                f"an adapter with {name} cannot be served",
                reason=Reason.NOT_SERVABLE,
                hint="train a plain LoRA adapter of one rank",
            )
