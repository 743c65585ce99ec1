"""Brain counts tokens where there is no torch, and must count what training will see."""

import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from nanodex.api.code_expert import BaseModelRef
from nanodex.models import BaseModel, resolve_tokenizer

pytestmark = pytest.mark.integration

TEXTS = (
    "`fuel_levy` raises `NoWillingCarrier` when 3 of 1,000 carriers decline.",
    "def f(x: int) -> str:\n    return f'{x:>08d}'\n\n\tdé jà vu 漢字 🙂",
    "<|im_start|>user\nWhich file?<|im_end|>\n",
    "",
)


def test_it_counts_what_the_converted_model_counts(smollm: BaseModel, tmp_path: Path) -> None:
    written = Tokenizer.from_file(
        str(resolve_tokenizer(BaseModelRef(uri=smollm.uri), cache=tmp_path))
    )
    converted = Tokenizer.from_file(str(smollm.path / "tokenizer.json"))
    for text in (*TEXTS, Path(__file__).read_text(encoding="utf-8")):
        assert (
            written.encode(text, add_special_tokens=False).ids
            == converted.encode(text, add_special_tokens=False).ids
        )


def test_it_is_written_without_torch(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from pathlib import Path
from nanodex.models import bundled, token_counter
count = token_counter(bundled.tokenizer("smollm2-135m-instruct", cache=Path({str(tmp_path)!r})))
print(*count(["Which file defines fuel_levy?"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 6 <= int(done.stdout) <= 12
