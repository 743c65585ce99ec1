"""Greedy answers and the loss on given answers, both in batches.

Questions go by length, so that a batch is hardly padded; what all prompts of a batch begin with is
read once; and a row leaves its batch (with its part of the key-value cache) when its answer ends: a
base model that talks on does not hold up the others.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from nanodex.models.tokens import common_prefix

Tokens = tuple[int, ...]


def greedy_answers(
    model: Any,
    prompts: Sequence[Tokens],
    *,
    stop_tokens: frozenset[int],
    max_new_tokens: int,
    batch_size: int,
    on_batch: Callable[[int], None],
) -> list[Tokens]:
    """Return the most likely next tokens of each prompt, up to a stop token or the limit.

    Args:
        model: a causal language model in evaluation mode.
        prompts: token ids, none empty.
        stop_tokens: ids that end an answer; they are not part of it.
        max_new_tokens: longest answer.
        batch_size: prompts answered at once.
        on_batch: told after each batch how many prompts it answered.
    """
    answers: dict[int, Tokens] = {}
    for batch in _by_length(prompts, batch_size):
        rows = [prompts[index] for index in batch]
        for index, answer in zip(
            batch,
            _answer_batch(model, rows, stop_tokens=stop_tokens, max_new_tokens=max_new_tokens),
            strict=True,
        ):
            answers[index] = answer
        on_batch(len(batch))
    return [answers[index] for index in range(len(prompts))]


def answer_losses(
    model: Any,
    pairs: Sequence[tuple[Tokens, Tokens]],
    *,
    batch_size: int,
    on_batch: Callable[[int], None],
) -> list[float]:
    """Return the mean negative log-likelihood (nats a token) of each answer after its prompt.

    Args:
        model: a causal language model in evaluation mode.
        pairs: prompt and answer as token ids, none empty.
        batch_size: pairs measured at once.
        on_batch: told after each batch how many pairs it measured.
    """
    losses: dict[int, float] = {}
    whole = [prompt + answer for prompt, answer in pairs]
    for batch in _by_length(whole, batch_size):
        ids = torch.zeros(len(batch), max(len(whole[i]) for i in batch), dtype=torch.int64)
        for row, index in enumerate(batch):
            # Padding is on the right, where no earlier token looks.
            ids[row, : len(whole[index])] = torch.tensor(whole[index])
        first = min(len(pairs[i][0]) for i in batch) - 1
        with torch.inference_mode():
            logits = model(
                input_ids=ids.to(model.device),
                logits_to_keep=torch.arange(first, ids.shape[1] - 1, device=model.device),
                use_cache=False,
            ).logits
        for row, index in enumerate(batch):
            prompt, answer = pairs[index]
            start = len(prompt) - 1 - first
            said = logits[row, start : start + len(answer)].float()
            wanted = torch.tensor(answer, device=said.device)
            losses[index] = float(torch.nn.functional.cross_entropy(said, wanted))
        on_batch(len(batch))
    return [losses[index] for index in range(len(pairs))]


def _by_length(prompts: Sequence[Tokens], batch_size: int) -> Iterator[list[int]]:
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _answer_batch(
    model: Any, prompts: Sequence[Tokens], *, stop_tokens: frozenset[int], max_new_tokens: int
) -> list[Tokens]:
    # Short of a prompt's last token, which says what comes first in the answer.
    prefix = prompts[0][: common_prefix([prompt[:-1] for prompt in prompts])]
    width = max(len(prompt) for prompt in prompts)
    # Padding is on the left, so that every row goes on at the same column; its id is masked.
    ids = torch.zeros(len(prompts), width - len(prefix), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt[len(prefix) :])
        mask[row, width - len(prompt) :] = 1
    mask = torch.cat([mask.new_ones(len(prompts), len(prefix)), mask], dim=1)
    ids, mask = ids.to(model.device), mask.to(model.device)
    positions = (mask.cumsum(dim=1) - 1)[:, len(prefix) :]
    answers: list[list[int]] = [[] for _ in prompts]
    open_rows = list(range(len(prompts)))
    with torch.inference_mode():
        cache = _read_once(model, prefix, rows=len(prompts))
        for _ in range(max_new_tokens):
            # By index: of a slice torch makes a product for each row, and in bfloat16 a CPU copies
            # the output layer's weight for each of them.
            last = torch.tensor([ids.shape[1] - 1], device=model.device)
            output = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=last,
            )
            cache = output.past_key_values
            chosen = output.logits[:, -1].argmax(dim=-1)
            keep = []
            for place, token in enumerate(chosen.tolist()):
                if token not in stop_tokens:
                    answers[open_rows[place]].append(token)
                    keep.append(place)
            if not keep:
                break
            if len(keep) < len(open_rows):
                kept = torch.tensor(keep, device=model.device)
                cache.batch_select_indices(kept)
                chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
                open_rows = [open_rows[place] for place in keep]
            ids = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(keep), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return [tuple(answer) for answer in answers]


def _read_once(model: Any, prefix: Tokens, *, rows: int) -> Any:
    """Return the key-value cache of `prefix` for each of `rows` rows, or None without a prefix."""
    if not prefix:
        return None
    ids = torch.tensor([prefix], device=model.device)
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(rows)
    return cache
