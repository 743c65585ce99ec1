"""An independent oracle finds our confident call edges right (benchmarks/oracle_python.py)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

_TESTS = Path(__file__).parents[1]


def test_precision_and_recall_floors_hold():
    done = subprocess.run(
        [
            sys.executable,
            _TESTS / "benchmarks/oracle_python.py",
            _TESTS / "fixtures/languages/python/depot",
        ],
        stdout=subprocess.PIPE,
        check=True,
        timeout=580,
    )
    figures = json.loads(done.stdout)
    assert figures["calls"]["pairs"] >= 12
    assert figures["calls"]["precision"] >= 0.95
    assert figures["calls"]["recall"] >= 0.6
    assert figures["imports"]["precision"] >= 0.98
    assert figures["extends"]["precision"] >= 0.98
