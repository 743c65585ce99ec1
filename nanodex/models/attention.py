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


def grouped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scale: float | None,
) -> torch.Tensor:
    """Return attention [B, H, L, D] to keys that several heads share (arXiv 2305.13245).

    transformers repeats keys and values for each head of a group, which moves more memory than the
    sums need. Here the heads of a group are queries of one head.

    Args:
        query: [B, H, L, D].
        key: [B, G, T, D], of which each serves H / G heads.
        value: like `key`.
        mask: bool [B, 1, L, T]; true where a token of the third axis sees that of the last.
        scale: of the products; the root of D divides them where there is none.
    """
    batch, heads, tokens, width = query.shape
    groups = key.shape[1]
    attended = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(batch, groups, heads // groups * tokens, width),
        key,
        value,
        attn_mask=None if mask is None else mask.repeat(1, 1, heads // groups, 1),
        scale=scale,
    )
    return attended.reshape(query.shape)
