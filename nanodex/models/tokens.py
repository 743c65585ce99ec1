"""Counts tokens with the base model's own tokenizer, without loading torch or transformers."""

from collections.abc import Callable
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.errors import UserError


def token_counter(file: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, special tokens not added.

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

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
