"""Every command line that a page shows names a command and options that there are."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from nanodex.cli import app
from nanodex.cli.plugin import app as plugin

ROOT = Path(__file__).parents[3]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
SHOWN = [
    (page.name, line.strip())
    for page in PAGES
    for line in page.read_text(encoding="utf-8").splitlines()
    if re.match(r"(    |\$ )(\.venv/bin/|kubectl )?nanodex [a-z]", line)
]


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_command_and_options_exist(page: str, line: str) -> None:
    words = shlex.split(line.split(" | ")[0], comments=True)
    is_plugin = words[0] == "kubectl"
    words = words[2:] if is_plugin else words[1:]
    command: Any = typer.main.get_command(plugin if is_plugin else app)
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"{page}: no command {words[:1]}"
        command = command.commands[words.pop(0)]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= known | {"--help"}, page
