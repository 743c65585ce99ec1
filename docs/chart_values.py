"""Renders the table of the chart's values from values.yaml: a comment stands above each value."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?P<value>.*)")


@dataclass(frozen=True)
class Value:
    """One value: the path to it, its default as JSON, and what its comment says."""

    path: str
    default: str
    description: str


def chart_values(path: Path) -> str:
    """Return a Markdown table of the values in a values.yaml.

    Raises:
        ValueError: a value has no comment.
    """
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for value in described_values(path.read_text(encoding="utf-8")):
        meaning = value.description.replace("|", "\\|")
        lines.append(f"| `{value.path}` | `{value.default}` | {meaning} |")
    return "\n".join(lines) + "\n"


def described_values(text: str) -> Iterator[Value]:
    """Yield each value that a comment stands above, in order; what is inside it belongs to it.

    Raises:
        ValueError: a value has no comment, and no value inside it has one.
    """
    whole = yaml.safe_load(text)
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    # Lines that are indented more than this belong to the value above.
    inside: int | None = None
    for line in text.splitlines():
        if not line.strip():
            comment = []
            continue
        indent = len(line) - len(line.lstrip())
        if inside is not None and indent > inside:
            continue
        inside = None
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip().removeprefix("#").strip())
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"not a value: {line!r}")
        parents = [(depth, key) for depth, key in parents if depth < indent]
        names = [*(key for _, key in parents), found["key"]]
        if comment:
            yield Value(".".join(names), _default(whole, names), " ".join(comment))
            comment, inside = [], indent
        elif found["value"].strip():
            raise ValueError(f"{'.'.join(names)} has no comment")
        else:
            parents.append((indent, found["key"]))


def _default(values: Any, names: list[str]) -> str:
    for name in names:
        values = values[name]
    return json.dumps(values)
