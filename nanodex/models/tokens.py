"""Counts tokens with the base model's own tokenizer, without loading torch or transformers."""

from collections.abc import Callable

from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.models.base_model import BaseModel


def token_counter(model: BaseModel) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, special tokens not added.

    Raises:
        UserError: the model has no readable tokenizer.json.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    except Exception as error:  # The Rust side raises plain Exception for a missing or bad file.
        raise UserError(
            f"{model.uri} has no readable tokenizer.json",
            reason=Reason.MODEL_UNAVAILABLE,
            hint="choose a base model with a fast tokenizer",
        ) from error

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
