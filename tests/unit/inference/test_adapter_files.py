"""What the engine must not see is refused before it sees it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.reasons import Reason
from nanodex.errors import NotServable
from nanodex.inference.adapter_files import check_adapter
from tests.engine_stand_in import LINEAR

Make = Callable[..., Path]


def refused(folder: Path) -> NotServable:
    with pytest.raises(NotServable) as caught:
        check_adapter(folder, linear=LINEAR, max_rank=32)
    return caught.value


def test_a_good_adapter_yields_its_card(make_adapter: Make) -> None:
    card = check_adapter(make_adapter("good"), linear=LINEAR, max_rank=32)

    assert card.rank == 8
    assert card.system == "You are the expert on parcelry."


def test_a_rank_above_the_servers_is_its_own_reason(make_adapter: Make) -> None:
    error = refused(make_adapter("rank", rank=64))

    assert error.reason is Reason.RANK_TOO_HIGH
    assert "at most 32" in error.hint


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("use_dora", True, "DoRA"),
        ("modules_to_save", ["lm_head"], "modules_to_save"),
        ("rank_pattern", {"q_proj": 4}, "a rank for each module"),
        ("alpha_pattern", {"q_proj": 4}, "an alpha for each module"),
        ("trainable_token_indices", [5], "trained tokens"),
        ("bias", "all", "trained biases"),
        ("peft_type", "IA3", "only LORA"),
        ("r", "8", "not a rank"),
        ("r", True, "not a rank"),
    ],
)
def test_what_vllm_refuses_or_ignores_is_refused(
    make_adapter: Make, field: str, value: Any, says: str
) -> None:
    folder = make_adapter("odd", **({field: value} if field != "r" else {}))
    if field == "r":
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"r": value}))

    assert says in refused(folder).message


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "x.pt", "OPT.PKL"])
def test_a_folder_with_a_pickle_is_refused(make_adapter: Make, name: str) -> None:
    folder = make_adapter("pickle")
    (folder / name).write_bytes(b"\x80\x04.")

    assert "unpickled" in refused(folder).message


@pytest.mark.parametrize(
    "name", ["adapter_config.json", "adapter_model.safetensors", "nanodex.json"]
)
def test_a_missing_file_and_a_link_are_refused(make_adapter: Make, name: str) -> None:
    folder = make_adapter("link")
    (folder / name).rename(folder.parent / "elsewhere")
    assert "missing" in refused(folder).message

    (folder / name).symlink_to(folder.parent / "elsewhere")
    assert "not a plain file" in refused(folder).message


@pytest.mark.parametrize("size", [0, 4, 60, 700])
def test_truncated_weights_are_refused(make_adapter: Make, size: int) -> None:
    folder = make_adapter("short")
    os.truncate(folder / "adapter_model.safetensors", size)

    assert refused(folder).reason is Reason.NOT_SERVABLE


def rewritten(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    path = folder / "adapter_model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = json.dumps(change(json.loads(content[8 : 8 + length]))).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return folder


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("base_model.model.model.", "base_model.model.transformer.", "belongs to no linear layer"),
        ("base_model.model.", "", "belongs to no linear layer"),
        ("layers.0.", "layers.7.", "belongs to no linear layer"),
        ("lora_A", "lora_magnitude_vector", "belongs to no linear layer"),
        ("q_proj", "lm_head", "belongs to no linear layer"),
    ],
)
def test_tensors_under_other_names_are_refused(
    make_adapter: Make, old: str, new: str, says: str
) -> None:
    folder = rewritten(
        make_adapter("renamed"),
        lambda header: {name.replace(old, new): entry for name, entry in header.items()},
    )

    assert says in refused(folder).message


def test_a_tensor_of_another_shape_is_refused(make_adapter: Make) -> None:
    def transposed(header: dict[str, Any]) -> dict[str, Any]:
        entry = header["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"]
        entry["shape"] = entry["shape"][::-1]
        return header

    assert (
        "the base model needs (8, 16)"
        in refused(rewritten(make_adapter("shape"), transposed)).message
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [8, 8], "data_offsets": [0, 1 << 60]},
        {"dtype": "BF16", "shape": [8, -8], "data_offsets": [0, 128]},
        {"dtype": "NOPE", "shape": [8, 8], "data_offsets": [0, 128]},
        {"dtype": "BF16", "shape": [8, 8], "data_offsets": [64, 192]},
        {"dtype": "BF16", "shape": 8, "data_offsets": [0, 128]},
        {"dtype": "BF16"},
        [],
        None,
    ],
)
def test_a_header_that_contradicts_itself_is_refused(make_adapter: Make, entry: Any) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    folder = rewritten(make_adapter("header"), lambda header: header | {name: entry})

    assert "is not a safetensors file" in refused(folder).message


def test_a_header_of_deep_nesting_is_refused(make_adapter: Make) -> None:
    folder = make_adapter("deep")
    text = b"[" * 200_000
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)

    assert "not JSON" in refused(folder).message


def test_a_card_without_proof_is_refused(make_adapter: Make) -> None:
    folder = make_adapter("card")
    card = json.loads((folder / "nanodex.json").read_text())

    (folder / "nanodex.json").write_text(json.dumps(card | {"parity": []}))
    assert "no parity prompt" in refused(folder).message

    card["parity"][0]["logprobs"] = [-1.0]
    (folder / "nanodex.json").write_text(json.dumps(card))
    assert "another number of values" in refused(folder).message

    (folder / "nanodex.json").write_text("{}")
    assert "not an adapter card" in refused(folder).message
