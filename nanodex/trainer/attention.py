"""Attention of each example to itself and to the prefix that all share, and to nothing else.

The examples of a batch lie in one row (nanodex.trainer.packing). Attention over the whole row would
cost the square of its length, most of it masked. Here queries and keys are taken out of the row
into a batch of examples, attended to there, and put back: the same sums, a third of the work for
eight short examples.
"""

from dataclasses import dataclass
from typing import Any

import torch

from nanodex.models.attention import Attended, grouped_attention, usual_attention


@dataclass(frozen=True)
class Segments:
    """Where the examples of a row are; S segments of at most Q tokens, and P tokens of prefix.

    Attributes:
        queries: int64 [S, Q]; place in the row of each token of a segment.
        keys: int64 [S, P + Q]; places of the prefix, then of the segment.
        places: int64 [L]; for each token of the row where it is in `queries`, flattened.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    places: torch.Tensor


def attend_within(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    segments: Segments | None = None,
    **options: Any,
) -> Attended:
    """Return attention within `segments`; without them it is the usual one.

    Args:
        module: the attention layer.
        query: [1, H, L, D].
        key: [1, G, L, D], of which each serves H / G heads.
        value: like `key`.
        attention_mask: bool [S, 1, Q, P + Q]; true where a token of the third axis sees that of
            the last. Without segments that of the usual attention.
        segments: where the examples are.
        options: what transformers gives beside them; `scaling` is used.
    """
    if segments is None:
        return usual_attention(module, query, key, value, attention_mask, **options)
    # In bfloat16 a CPU takes longer for the gradients of this.
    with torch.autocast("cpu", enabled=False):
        attended = grouped_attention(
            _taken(query, segments.queries),
            _taken(key, segments.keys),
            _taken(value, segments.keys),
            attention_mask,
            scale=options.get("scaling"),
        )
    rows = attended.transpose(1, 2).flatten(0, 1)
    return rows.index_select(0, segments.places)[None], None


def _taken(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the states at `places` [S, N] of a row [1, H, L, D] as [S, H, N, D]."""
    chosen = states[0].index_select(1, places.flatten())
    return chosen.reshape(-1, *places.shape, states.shape[-1]).transpose(0, 1)
