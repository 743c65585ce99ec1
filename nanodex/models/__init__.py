"""Base models: where they come from, which revision they are, and how text becomes their tokens."""

from nanodex.models.base_model import (
    BaseModel,
    pinned_revision,
    resolve_base_model,
    resolve_tokenizer,
)
from nanodex.models.tokens import token_counter

__all__ = [
    "BaseModel",
    "pinned_revision",
    "resolve_base_model",
    "resolve_tokenizer",
    "token_counter",
]
