"""Renders the reference of the command line from the commands themselves."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer


def command_reference(app: typer.Typer, *, program: str) -> str:
    """Return Markdown with a section for each command, groups flattened to `program group name`."""
    sections = [_section(name, command) for name, command in _commands(app, program)]
    return "\n".join(sections)


def _commands(app: typer.Typer, program: str) -> Iterator[tuple[str, Any]]:
    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for inner, child in command.commands.items():
                yield from walk(child, f"{name} {inner}")
        elif not command.hidden:
            yield name, command

    yield from walk(typer.main.get_command(app), program)


def _section(name: str, command: Any) -> str:
    text, _, example = (command.help or "").partition("Example:")
    parameters = [one for one in command.params if one.name != "help" and not one.hidden]
    lines = [f"## {name}", "", " ".join(text.split()), ""]
    if example:
        examples = example.replace("Example:", "\n").splitlines()
        lines += [*(f"    {line.strip()}" for line in examples if line.strip()), ""]
    if parameters:
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        lines += [f"| {_names(one)} | {_default(one)} | {_meaning(one)} |" for one in parameters]
        lines.append("")
    return "\n".join(lines)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if isinstance(value, Enum):
        value = value.value
    if value is None or value in ("", (), []):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(parameter: Any) -> str:
    return " ".join((parameter.help or "").split()).replace("|", "\\|")
