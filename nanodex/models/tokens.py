"""Counts tokens with the base model's own tokenizer, and compares them: without torch."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.errors import UserError


def token_counter(file: Path) -> Callable[[Sequence[str]], list[int]]:
    """Return a function that counts the tokens of each text, special tokens not added.

    Many texts at once are counted side by side.

    Args:
        file: tokenizer.json, as `resolve_tokenizer` returns it.

    Raises:
        UserError: it cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # The Rust side raises plain Exception for a missing or bad file.
        raise UserError(
            f"the base model has no readable tokenizer.json ({file})",
            reason=Reason.MODEL_UNAVAILABLE,
            hint="choose a base model with a fast tokenizer",
        ) from error

    def count(texts: Sequence[str]) -> list[int]:
        # Without the places of tokens in the text, which nobody asks for.
        return [len(one) for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return count


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """Return how many leading tokens all `sequences` have in common."""
    if not sequences:
        return 0
    # That of the smallest and the largest is that of all.
    first, last = min(sequences), max(sequences)
    pairs = zip(first, last, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), len(first))
