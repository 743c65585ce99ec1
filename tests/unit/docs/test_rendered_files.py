"""What is rendered from the models and the commands is up to date."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_nothing_is_out_of_date() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.stdout, check.stderr) == ("", ""), "run: .venv/bin/python docs/generate.py"
    assert check.returncode == 0
