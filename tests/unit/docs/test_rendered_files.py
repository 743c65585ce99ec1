"""What is rendered from the models is up to date."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENDERED = generator().rendered()


@pytest.mark.parametrize("path", sorted(RENDERED), ids=lambda path: path.name)
def test_file_is_what_the_models_say(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == RENDERED[path], "run: python docs/generate.py"
