"""Attention of one new token to a cache whose keys several heads share (arXiv 2305.13245).

transformers repeats keys and values for each head of a group before it attends, which for a batch
of answers moves more memory than all the rest of a step. Here the heads of a group are the queries
of one head: the same sums over the cache as it is.
"""

from typing import Any

import torch

from nanodex.models.attention import Attended, usual_attention


def attend_to_groups(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> Attended:
    """Return attention, of more than one new token in the usual way.

    Args:
        module: the attention layer.
        query: [B, H, L, D].
        key: [B, G, T, D], of which each serves H / G heads.
        value: like `key`.
        attention_mask: bool [B, 1, L, T], or none.
        options: what transformers gives beside them; `scaling` is used.
    """
    batch, heads, tokens, width = query.shape
    if tokens > 1:
        return usual_attention(module, query, key, value, attention_mask, **options)
    groups = key.shape[1]
    attended = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(batch, groups, heads // groups, width),
        key,
        value,
        attn_mask=attention_mask,
        scale=options.get("scaling"),
    )
    return attended.reshape(batch, 1, heads, width), None
