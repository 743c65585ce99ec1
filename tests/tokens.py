"""A count of tokens for tests that need no tokenizer: one for each character."""

from collections.abc import Sequence


def characters(texts: Sequence[str]) -> list[int]:
    """Return the length of each text."""
    return [len(text) for text in texts]
