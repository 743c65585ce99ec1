"""Gives a transformers model another attention than its own, by transformers' own registries."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

Attended: TypeAlias = tuple[torch.Tensor, None]


def attending(model: Any, attention: Callable[..., Attended]) -> Any:
    """Return `model` with `attention` in all layers; it is given the masks of the usual one."""
    name = attention.__module__
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)
    model.set_attn_implementation(name)
    return model


def usual_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **options: Any,
) -> Attended:
    """Return torch's scaled dot product attention, as [B, L, H, D]."""
    sdpa: Any = sdpa_attention_forward
    result: Attended = sdpa(module, query, key, value, mask, **options)
    return result
