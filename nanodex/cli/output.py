"""What a command prints: text for people or one JSON object, and one line for each error.

A traceback is a bug of ours, so every expected error is turned here into what happened, why and
what to do, with the documented exit code.
"""

import functools
import json
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, ParamSpec

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nanodex.errors import NanodexError

Arguments = ParamSpec("Arguments")


class Output(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="text for people, json for programs.")
]

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def as_json(value: BaseModel | Mapping[str, Any]) -> str:
    """Return one line of JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True)
    return json.dumps(value, ensure_ascii=False)


def emit(
    value: BaseModel | Mapping[str, Any], *, output: Output, text: Callable[[], object]
) -> None:
    """Print `value` as one JSON object, or call `text` to print it for people."""
    if output is Output.JSON:
        sys.stdout.write(as_json(value) + "\n")
    else:
        text()


def figures_table(title: str, figures: Mapping[str, Any]) -> Table:
    """Return a table of names and figures; nested figures become `outer.inner`."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in _flat(figures):
        table.add_row(escape(name), escape(_readable(value)))
    return table


def _flat(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def reports_errors(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Wrap a command: an expected error becomes a line with a hint and its exit code."""

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except NanodexError as error:
            if kwargs.get("output") is Output.JSON:
                sys.stdout.write(as_json({"error": _described(error)}) + "\n")
            errors.print(f"[bold red]error[/] ({error.reason}): {escape(error.message)}")
            errors.print(f"[bold]hint[/]: {escape(error.hint)}")
            raise typer.Exit(int(error.exit_code)) from None

    return wrapped


def _described(error: NanodexError) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "hint": error.hint,
        "exitCode": int(error.exit_code),
    }
