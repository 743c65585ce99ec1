"""Attention of one new token to a cache whose keys several heads share.

To repeat keys and values for each head of a group, as transformers does, moves more memory for a
batch of answers than all the rest of a step. Here the cache is attended to as it is.
"""

from typing import Any

import torch

from nanodex.models.attention import Attended, grouped_attention, usual_attention


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
    if query.shape[2] > 1:
        return usual_attention(module, query, key, value, attention_mask, **options)
    attended = grouped_attention(query, key, value, attention_mask, scale=options.get("scaling"))
    return attended.transpose(1, 2), None
