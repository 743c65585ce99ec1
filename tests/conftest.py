"""What holds for every test, and golden files, which `make golden` writes anew."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: how long an example takes is for `make bench` to say.
settings.register_profile(
    "nanodex", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("nanodex")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-golden", action="store_true", help="write the golden files, compare nothing"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a file below `golden/` beside the test."""

    def compare(name: Path, text: str) -> None:
        path = request.path.parent / "golden" / name
        if request.config.getoption("--write-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        recorded = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert text == recorded, "if the change is meant, run: make golden"

    return compare
