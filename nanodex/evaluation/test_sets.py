"""Reads the questions of a dataset and draws those that are asked.

T1 trained facts in reserved wording; T2 facts seen only as text; T3 two hops; T4 absent things, and
present ones in the same wording; T5 held-out entities; T6 general knowledge (forgetting).
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from nanodex.api.base import Contract
from nanodex.api.reasons import Reason
from nanodex.api.records import Message, NodeRecord, Question
from nanodex.errors import UserError

Record = TypeVar("Record", bound=Contract)


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a JSONL file.

    Raises:
        UserError: the file is missing or a line is no question.
    """
    return _read(path, Question)


def read_nodes(path: Path) -> list[NodeRecord]:
    """Return the nodes of a JSONL file.

    Raises:
        UserError: the file is missing or a line is no node.
    """
    return _read(path, NodeRecord)


def draw(questions: Sequence[Question], *, most: int, seed: int) -> list[Question]:
    """Return at most `most` questions of each test set and kind, in their order.

    Which ones is decided by a hash of seed and id: a question that is added to a file changes the
    draw of no other test set.
    """
    groups: dict[tuple[str, str], list[Question]] = defaultdict(list)
    for question in questions:
        groups[question.test_set, question.expected.kind].append(question)
    chosen: set[str] = set()
    for group in groups.values():
        group.sort(key=lambda question: hashlib.sha256(f"{seed}/{question.id}".encode()).digest())
        chosen.update(question.id for question in group[:most])
    return [question for question in questions if question.id in chosen]


def with_context(messages: Sequence[Message], context: Sequence[str]) -> tuple[Message, ...]:
    """Return `messages` with what retrieval found put before the user's question."""
    if not context:
        return tuple(messages)
    last = messages[-1]
    found = "\n".join(f"- {text}" for text in context)
    asked = Message(role="user", content=f"{found}\n\n{last.content}")
    return (*messages[:-1], asked)


def _read(path: Path, record: type[Record]) -> list[Record]:
    try:
        with path.open(encoding="utf-8") as lines:
            return [record.model_validate_json(line) for line in lines]
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(
            f"cannot read {path.name}: {type(error).__name__}",
            reason=Reason.INVALID_INPUT,
            hint="run the stage before evaluate again",
        ) from error
