"""Addresses of base models, and the revision that enters the keys."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.reasons import Reason
from nanodex.errors import UserError
from nanodex.models import pinned_revision, resolve_base_model, resolve_tokenizer

BUNDLED = "bundled://smollm2-135m-instruct"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (path / "model.safetensors").write_bytes(bytes(300_000))
    return path


def test_a_folder_is_used_where_it_lies(folder: Path, tmp_path: Path) -> None:
    model = resolve_base_model(BaseModelRef(uri=f"file://{folder}"), cache=tmp_path / "cache")
    assert model.path == folder
    assert model.revision == pinned_revision(BaseModelRef(uri=f"file://{folder}"))
    assert not (tmp_path / "cache").exists()


def test_the_revision_of_a_folder_changes_with_its_weights(folder: Path) -> None:
    ref = BaseModelRef(uri=f"file://{folder}")
    before = pinned_revision(ref)
    assert pinned_revision(ref) == before
    (folder / "model.safetensors").write_bytes(bytes(150_000) + b"\x01" * 150_000)
    assert pinned_revision(ref) != before


def test_the_revision_of_a_folder_changes_with_its_chat_template(folder: Path) -> None:
    ref = BaseModelRef(uri=f"file://{folder}")
    before = pinned_revision(ref)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert pinned_revision(ref) != before


def test_a_given_revision_is_taken_at_its_word(folder: Path) -> None:
    assert pinned_revision(BaseModelRef(uri=f"file://{folder}", revision="v3")) == "v3"


def test_a_commit_on_the_hub_needs_no_network() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert pinned_revision(BaseModelRef(uri="hf://owner/name", revision=commit)) == commit


def test_the_bundled_model_has_a_revision_without_being_converted() -> None:
    revision = pinned_revision(BaseModelRef(uri=BUNDLED))
    assert len(revision) == 40
    assert revision == pinned_revision(BaseModelRef(uri=BUNDLED))


@pytest.mark.parametrize(
    "uri",
    [
        "bundled://gpt-5",
        "file:///nowhere/at/all",
        "s3://bucket/model",
        "pvc://claim/model",
    ],
)
def test_what_cannot_be_found_is_said_with_a_hint(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        resolve_base_model(BaseModelRef(uri=uri), cache=tmp_path)
    assert caught.value.reason in {Reason.MODEL_UNAVAILABLE, Reason.INVALID_INPUT}
    assert caught.value.hint


@pytest.mark.parametrize("uri", ["hf://name-without-owner", "hf://owner/name/../other", "gpt-5"])
def test_what_is_no_address_is_no_reference(uri: str) -> None:
    with pytest.raises(ValidationError, match="hf://OWNER/NAME"):
        BaseModelRef(uri=uri)


def test_pickled_weights_are_no_model(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds no model"):
        resolve_base_model(BaseModelRef(uri=f"file://{folder}"), cache=tmp_path)


def test_a_tokenizer_is_had_without_its_model(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    file = resolve_tokenizer(BaseModelRef(uri=f"file://{folder}"), cache=tmp_path / "cache")
    assert file == folder / "tokenizer.json"
    with pytest.raises(UserError, match="not on this machine"):
        resolve_tokenizer(BaseModelRef(uri="s3://bucket/model"), cache=tmp_path / "cache")
