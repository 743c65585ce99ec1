"""Loads a base model for training or answering: precision by device, 4 bits on request.

float32 on a CPU, as an engine there serves it, bfloat16 on a GPU, or as the caller wants. Only
safetensors are read and no code of a model repository is ever run.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nanodex.models.base_model import BaseModel

if TYPE_CHECKING:
    import torch

# On CPUs with AVX512-BF16 it asks whoever imports it for a package that runs code from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def load_tokenizer(model: BaseModel) -> Any:
    """Return the transformers tokenizer of `model`, with a pad token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model.path), trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(
    model: BaseModel, *, four_bits: bool = False, dtype: "torch.dtype | None" = None
) -> Any:
    """Return the transformers model, on the GPU where there is one, in evaluation mode.

    Args:
        model: the resolved base model.
        four_bits: quantize the linear layers to NF4 while loading (QLoRA).
        dtype: type of the weights; without it bfloat16 on a GPU and float32 on a CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils.logging import disable_progress_bar

    hide: Callable[[], None] = disable_progress_bar
    hide()

    gpu = torch.cuda.is_available()
    dtype = dtype or (torch.bfloat16 if gpu else torch.float32)
    options: dict[str, Any] = {"device_map": {"": torch.cuda.current_device()}} if gpu else {}
    if four_bits:
        quantization: Any = BitsAndBytesConfig
        options["quantization_config"] = quantization(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        str(model.path),
        dtype=dtype,
        attn_implementation="sdpa",
        use_safetensors=True,
        trust_remote_code=False,
        **options,
    )
    if four_bits and not gpu:
        _keep_four_bit_layers_plain(loaded)
    return loaded.eval()


def _keep_four_bit_layers_plain(model: Any) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    # On CPUs with AVX512-BF16 a layer repacks its weights when it is first used in evaluation mode
    # and cannot be trained afterwards; training evaluates in between, so the repacking stays off.
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
