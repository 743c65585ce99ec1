"""Packs examples into one row behind a prefix that they share, and leaves the result the same.

Every example of a dataset starts with the same system message. The row holds that prefix once, then
what is left of each example:

    [prefix][rest of example 1][rest of example 2] ...

Each token sees the prefix and the tokens before it in its own example (nanodex.trainer.attention),
and positions restart after the prefix for each example. Hidden states, loss and gradients therefore
equal those of the examples trained one by one (a test asserts it), without padding and with a third
fewer tokens for short examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nanodex.models.tokens import common_prefix
from nanodex.trainer.data_loader import TokenizedExample

IGNORED = -100


@dataclass(frozen=True)
class PackedBatch:
    """A row of L tokens for the model: P of prefix, then E examples of at most Q tokens each.

    Attributes:
        input_ids: int64 [1, L].
        position_ids: int64 [1, L].
        labels: int64 [1, L]; the token itself where it is learned, else -100.
        queries, keys, places: as in nanodex.trainer.attention.Segments, of E segments, and one more
            of the prefix where there is one.
        mask: bool, as nanodex.trainer.attention.attend_within takes it.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor


def shared_prefix(examples: Sequence[TokenizedExample]) -> int:
    """Return how many leading tokens all examples have in common, always short of any answer.

    The last token of a prompt predicts the answer's first and is never part of the prefix.
    """
    if not examples:
        return 0
    limit = min(example.prompt_length for example in examples) - 1
    return min(limit, common_prefix([example.tokens for example in examples]))


def pack(examples: Sequence[TokenizedExample], *, prefix: int) -> PackedBatch:
    """Return `examples`, which share their first `prefix` tokens, as a row."""
    ids = list(examples[0].tokens[:prefix])
    positions = list(range(prefix))
    labels = [IGNORED] * prefix
    # Start and length of each segment.
    spans = [(0, prefix)] if prefix else []
    for example in examples:
        rest = example.tokens[prefix:]
        spans.append((len(ids), len(rest)))
        ids += rest
        positions += range(prefix, prefix + len(rest))
        labels += [IGNORED] * (example.prompt_length - prefix)
        labels += example.tokens[example.prompt_length :]
    starts = torch.tensor([start for start, _ in spans])[:, None]
    lengths = torch.tensor([length for _, length in spans])[:, None]
    width = int(lengths.max())
    inside = torch.arange(width)[None]
    # What pads a segment stands for its first token, and is dropped.
    queries = torch.where(inside < lengths, starts + inside, starts)
    own = (inside[:, :, None] >= inside[:, None]) & (inside < lengths)[:, None]
    before = torch.ones(len(spans), width, prefix, dtype=torch.bool)
    if prefix:
        # The prefix sees itself as a segment of its own.
        before[0] = False
    places = [
        segment * width + offset
        for segment, (_, length) in enumerate(spans)
        for offset in range(length)
    ]
    return PackedBatch(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        labels=torch.tensor([labels]),
        queries=queries,
        keys=torch.cat([torch.arange(prefix).expand(len(spans), -1), queries], dim=1),
        mask=torch.cat([before, own], dim=2)[:, None],
        places=torch.tensor(places),
    )
