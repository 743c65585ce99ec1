"""The proof of what was loaded: the engine must give the log-probabilities that training saw.

vLLM loads an adapter with a wrong key prefix with status 200 and then answers as the base model,
and it loads one that lacks layers. Only its own numbers show this. Training stores prompts with
their log-probabilities in float32 (AdapterCard.parity); measured on SmolLM2, the right adapter
differs by 0.0005 nats (float32 engine) or 0.09 (bfloat16), the slightest damage by 0.14, the base
model by 3.
"""

import math
from collections.abc import Sequence

from nanodex.api.agent_report import ParityResult
from nanodex.api.records import ParityPrompt
from nanodex.inference.engine_client import EngineClient

# How many times the limit the engine's answer must lie away from the base model's.
CLEAR_DISTANCE = 3.0


def decide(
    prompts: Sequence[ParityPrompt], measured: Sequence[Sequence[float]], *, limit: float
) -> ParityResult:
    """Compare what the engine answered with what training stored.

    All prompt tokens count: the tokens of the answers alone barely see a retrained adapter.

    Args:
        prompts: prompts with the log-probabilities of adapter and base model.
        measured: for each prompt the engine's log-probabilities, same lengths.
        limit: highest mean |difference| that is accepted.
    """
    difference = distance([prompt.logprobs for prompt in prompts], measured)
    base_distance = distance([prompt.base_logprobs for prompt in prompts], measured)
    tokens = sum(len(prompt.logprobs) for prompt in prompts)
    clear = CLEAR_DISTANCE * limit
    # Written so that NaN, which compares false with everything, is refused.
    if not base_distance >= clear:
        accepted = False
        message = (
            f"the engine answers as the base model does (distance {base_distance:.4f}, at least "
            f"{clear:.4f} expected): wrong key prefix, or an adapter that learned nothing"
        )
    elif not difference <= limit:
        accepted = False
        message = (
            f"the engine's log-probabilities differ by {difference:.4f} from those of training "
            f"(limit {limit:.4f}): damaged, retrained or of another base model"
        )
    else:
        accepted = True
        message = f"differs by {difference:.4f} (limit {limit:.4f})"
    return ParityResult(
        accepted=accepted,
        difference=_finite(difference),
        base_distance=_finite(base_distance),
        limit=limit,
        tokens=tokens,
        message=message,
    )


async def measure(
    engine: EngineClient, model: str, prompts: Sequence[ParityPrompt]
) -> list[tuple[float, ...]]:
    """Ask the engine for the log-probabilities of every prompt, one after the other.

    Raises:
        EngineUnreachable: no valid answer.
    """
    return [await engine.prompt_logprobs(model, prompt.tokens) for prompt in prompts]


def distance(expected: Sequence[Sequence[float]], measured: Sequence[Sequence[float]]) -> float:
    """Return the mean |difference| over all tokens, nats; NaN where there is none."""
    differences = [
        abs(one - other)
        for row, answer in zip(expected, measured, strict=True)
        for one, other in zip(row, answer, strict=True)
    ]
    return sum(differences) / len(differences) if differences else math.nan


def _finite(value: float) -> float:
    # The status file is JSON, which has neither NaN nor infinity.
    return value if math.isfinite(value) else 1e9
