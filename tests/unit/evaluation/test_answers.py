"""Answers do not depend on the batch that they are computed in."""

import copy
import math
import random
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from nanodex.evaluation.answers import Tokens, answer_losses, greedy_answers
from nanodex.evaluation.attention import attend_to_groups
from nanodex.models.attention import attending

SYSTEM = (7, 3, 9, 4)
STOP = 1


def llama(*, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(shape).double().eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return llama(vocabulary=48)


def prompts(*, prefix: Tokens) -> list[Tokens]:
    choose = random.Random(5)
    return [
        (*prefix, *(choose.randrange(2, 48) for _ in range(choose.randrange(1, 12))))
        for _ in range(13)
    ]


def answers(model: Any, asked: list[Tokens], *, batch_size: int) -> list[Tokens]:
    return greedy_answers(
        model,
        asked,
        stop_tokens=frozenset({STOP, 20, 21}),
        max_new_tokens=9,
        batch_size=batch_size,
        on_batch=lambda _: None,
    )


@pytest.mark.parametrize("prefix", [(), SYSTEM])
def test_an_answer_is_the_same_alone_and_in_a_batch(model: Any, prefix: Tokens) -> None:
    asked = prompts(prefix=prefix)
    alone = answers(model, asked, batch_size=1)
    assert len({len(answer) for answer in alone}) > 1, "some end early"
    assert answers(model, asked, batch_size=5) == alone


def test_one_question_asked_twice_in_a_batch_is_answered_twice(model: Any) -> None:
    asked = [SYSTEM, SYSTEM]
    first, second = answers(model, asked, batch_size=2)
    assert first == second == answers(model, [SYSTEM], batch_size=1)[0]


def test_a_loss_is_the_same_alone_and_in_a_batch(model: Any) -> None:
    pairs = [(prompt, prompt[::-1]) for prompt in prompts(prefix=SYSTEM)]

    def losses(batch_size: int) -> list[float]:
        counted: list[int] = []
        measured = answer_losses(model, pairs, batch_size=batch_size, on_batch=counted.append)
        assert sum(counted) == len(pairs)
        return measured

    prompt, answer = pairs[0]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    by_hand = float(torch.nn.functional.cross_entropy(logits.float(), torch.tensor(answer)))
    assert losses(1)[0] == pytest.approx(by_hand)
    assert losses(6) == pytest.approx(losses(1))


def test_heads_that_share_keys_answer_as_if_each_had_its_own(model: Any) -> None:
    asked = prompts(prefix=SYSTEM)
    expected = answers(model, asked, batch_size=4)
    grouped = attending(copy.deepcopy(model), attend_to_groups)

    assert answers(grouped, asked, batch_size=4) == expected
    assert len(set(expected)) > 1


def test_the_output_layer_is_one_product_for_all_questions_of_a_batch() -> None:
    asked = prompts(prefix=SYSTEM)
    # Frozen, as the base below an adapter is.
    model = llama(vocabulary=4096).requires_grad_(False)

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as watched:
        answers(model, asked, batch_size=len(asked))

    shapes = [shape for event in watched.events() for shape in event.input_shapes if shape]
    assert max(map(math.prod, shapes)) == model.lm_head.weight.numel()
