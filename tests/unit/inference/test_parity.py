"""An adapter is accepted only if the engine gives the numbers that training saw."""

import math

import pytest

from nanodex.api.records import ParityPrompt
from nanodex.inference.parity import decide

PROMPT = ParityPrompt(tokens=(1, 2, 3), logprobs=(-1.0, -2.0), base_logprobs=(-4.0, -5.0))


@pytest.mark.parametrize(
    ("measured", "accepted", "says"),
    [
        ((-1.0, -2.0), True, "differs by 0.0000"),
        ((-1.004, -2.004), True, "differs by 0.0040"),
        ((-1.006, -2.006), False, "damaged, retrained or of another base model"),
        ((-4.0, -5.0), False, "answers as the base model does"),
        ((-4.01, -5.01), False, "answers as the base model does"),
        ((-9.0, -9.0), False, "damaged"),
        ((math.nan, -2.0), False, "answers as the base model does"),
        ((-math.inf, -2.0), False, "damaged"),
    ],
)
def test_the_decision(measured: tuple[float, float], accepted: bool, says: str) -> None:
    result = decide([PROMPT], [measured], limit=0.005)

    assert result.accepted is accepted
    assert says in result.message


def test_an_adapter_that_cannot_be_told_from_the_base_model_is_refused() -> None:
    silent = PROMPT.model_copy(update={"base_logprobs": PROMPT.logprobs})

    assert not decide([silent], [silent.logprobs], limit=0.005).accepted


def test_all_tokens_of_all_prompts_count_equally() -> None:
    short = ParityPrompt(tokens=(1, 2), logprobs=(-1.0,), base_logprobs=(-9.0,))

    result = decide([PROMPT, short], [(-1.0, -2.0), (-1.3,)], limit=0.2)

    assert result.tokens == 3
    assert result.difference == pytest.approx(0.1)


def test_the_result_of_broken_numbers_can_be_written_as_json() -> None:
    result = decide([PROMPT], [(math.nan, math.inf)], limit=0.005)

    assert "null" not in result.model_dump_json()
