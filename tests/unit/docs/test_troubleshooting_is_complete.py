"""docs/troubleshooting.md explains every reason that a failure can have, and no other."""

import re
from pathlib import Path

import pytest

from nanodex.api.reasons import ExitCode, Reason

TEXT = (Path(__file__).parents[3] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=\n##|\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_every_reason_has_a_section() -> None:
    assert set(SECTIONS) == {reason.value for reason in Reason}


@pytest.mark.parametrize("reason", Reason)
def test_a_section_says_what_happened_and_what_to_do(reason: Reason) -> None:
    assert len(SECTIONS[reason].split()) >= 10


@pytest.mark.parametrize("code", [code for code in ExitCode if code.name in Reason.__members__])
def test_an_exit_code_of_the_same_name_is_told(code: ExitCode) -> None:
    assert f"Exit code {code.value}" in SECTIONS[Reason[code.name]]
