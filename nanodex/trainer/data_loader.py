"""Reads the examples of a dataset as token ids, and lays out the order they are trained in.

The order is a pure function of the seed, and all epochs are laid out as one sequence: a stopped run
that resumes at step n continues with exactly the examples that the uninterrupted run would have
seen.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.records import Example
from nanodex.errors import UserError
from nanodex.models.chat import ChatFormat


@dataclass(frozen=True)
class TokenizedExample:
    """Prompt and completion as token ids; only `tokens[prompt_length:]` is learned."""

    tokens: tuple[int, ...]
    prompt_length: int


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a JSONL file, in its order.

    Raises:
        UserError: the file is missing or a line is no example.
    """
    examples: list[Example] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                examples.append(Example.model_validate_json(line))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path.name}",
            reason=Reason.INVALID_INPUT,
            hint="a dataset has train.jsonl and validation.jsonl",
        ) from error
    except ValidationError as error:
        raise UserError(
            f"{path.name}, line {len(examples) + 1}: {error.errors()[0]['msg']}",
            reason=Reason.INVALID_INPUT,
            hint="each line is one example, see nanodex.api.records.Example",
        ) from error
    return examples


def tokenize(
    examples: Sequence[Example], *, chat: ChatFormat, max_tokens: int
) -> list[TokenizedExample]:
    """Return the examples as token ids; those of more than `max_tokens` tokens are left out.

    Raises:
        UserError: an example does not end with the assistant's message.
    """
    tokenized = []
    for example in examples:
        if example.messages[-1].role != "assistant":
            raise UserError(
                f"example {example.meta.id} has no answer",
                reason=Reason.INVALID_INPUT,
                hint="the last message of an example is the assistant's",
            )
        prompt = chat.prompt(example.messages[:-1])
        tokens = prompt + chat.completion(example.messages)
        if len(tokens) <= max_tokens:
            tokenized.append(TokenizedExample(tokens=tokens, prompt_length=len(prompt)))
    return tokenized


def training_order(examples: int, *, epochs: int, seed: int) -> list[int]:
    """Return the indices of all epochs, one after the other, each epoch shuffled anew.

    Raises:
        UserError: there is nothing to order.
    """
    if examples == 0:
        raise UserError(
            "no example fits into maxSeqLength",
            reason=Reason.NOTHING_TO_LEARN,
            hint="raise training.maxSeqLength or learn a larger part of the repository",
            exit_code=ExitCode.EMPTY_SOURCE,
        )
    order = []
    for epoch in range(epochs):
        # A string seed is hashed with SHA-512 and so the same on every platform.
        indices = list(range(examples))
        random.Random(f"{seed}/{epoch}").shuffle(indices)
        order.extend(indices)
    return order
