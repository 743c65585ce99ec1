"""A mistake in a YAML file becomes one line that names the file, the field and what to do."""

from pathlib import Path

import pytest

from nanodex.api.code_expert import CodeExpert
from nanodex.api.parameters import TrainingConfig
from nanodex.api.reasons import ExitCode, Reason
from nanodex.config import MAX_BYTES, load_config, load_expert, parse_config
from nanodex.errors import UserError


def mistake(text: str | bytes, model: type = CodeExpert) -> UserError:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(UserError) as caught:
        parse_config(content, model, origin="expert.yaml")
    assert caught.value.reason is Reason.INVALID_INPUT
    assert caught.value.exit_code is ExitCode.INVALID_INPUT
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


EXPERT = """
metadata: {name: shop}
spec:
  source: {git: {url: "https://git.example.com/shop.git"}}
  baseModel: {uri: "bundled://smollm2-135m-instruct"}
"""


def test_a_complete_expert_is_read() -> None:
    expert = parse_config(EXPERT.encode(), CodeExpert, origin="expert.yaml")
    assert expert.model_name == "default/shop"


def test_an_unknown_field_is_named_with_the_nearest_one() -> None:
    error = mistake(EXPERT + "  training: {epoch: 2}\n")
    assert "spec.training.epoch: there is no such field" in error.message
    assert error.hint == "Did you mean epochs?"


def test_an_unknown_field_that_resembles_nothing_lists_the_known_ones() -> None:
    error = mistake("zzz: 1\n", TrainingConfig)
    assert "Known fields here: method, lora, epochs" in error.hint


def test_a_number_that_must_be_a_string_is_told_to_be_quoted() -> None:
    error = mistake("learningRate: 0.0002\n", TrainingConfig)
    assert error.message.startswith("expert.yaml: learningRate: ")
    assert "(found 0.0002)" in error.message
    assert "quotes" in error.hint


def test_a_missing_field_is_named() -> None:
    error = mistake("metadata: {name: shop}\n")
    assert error.message == "expert.yaml: spec: is required"
    assert error.hint == "Add spec."


def test_many_mistakes_stay_one_line() -> None:
    error = mistake("a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n", TrainingConfig)
    assert error.message.endswith("; and 2 more")


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    error = mistake(EXPERT.replace("https://", "https://me:hunter2@"))
    assert "spec.source.git" in error.message
    assert "hunter2" not in error.message + error.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1, column 6"),
        ("a: 1\na: 2\n", "line 2, column 1: 'a' stands twice"),
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("a: 2026-13-45\n", "month must be in 1..12"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("- 1\n", "expected fields, found list"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: \x00\n", "unacceptable character"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(text: str | bytes, message: str) -> None:
    assert message in mistake(text).message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_expert(tmp_path / "expert.yaml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="directory"):
        load_expert(tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match="larger than"):
        load_config(TrainingConfig, path)
