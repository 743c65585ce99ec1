"""Log-probabilities with which a server proves that it serves this adapter and no other.

They are computed from the adapter as saved (weights rounded to bfloat16) in float32, over every
token of a few prompts with answers: answer tokens alone barely tell an adapter from a retrained
one.
"""

from collections.abc import Sequence
from typing import Any

import torch

from nanodex.api.records import ParityPrompt
from nanodex.trainer.data_loader import TokenizedExample


def chosen_for_parity(examples: Sequence[TokenizedExample], *, count: int) -> list[tuple[int, ...]]:
    """Return the tokens of `count` examples, spread evenly over the dataset."""
    count = min(count, len(examples))
    return [examples[index * len(examples) // count].tokens for index in range(count)]


def token_logprobs(model: Any, tokens: Sequence[int]) -> tuple[float, ...]:
    """Return the log-probability (natural, float32) of each token after the first."""
    ids = torch.tensor([list(tokens)], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
    chosen = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None]).squeeze(1)
    return tuple(round(value, 6) for value in chosen.tolist())


def parity_prompts(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[ParityPrompt, ...]:
    """Return each prompt with the log-probabilities of adapter and base.

    Args:
        model: a PeftModel whose adapter weights are already rounded as saved, in evaluation mode.
        prompts: token ids, two or more each.
    """
    results = []
    for tokens in prompts:
        adapted = token_logprobs(model, tokens)
        with model.disable_adapter():
            base = token_logprobs(model, tokens)
        results.append(ParityPrompt(tokens=tuple(tokens), logprobs=adapted, base_logprobs=base))
    return tuple(results)
