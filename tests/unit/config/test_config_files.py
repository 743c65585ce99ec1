"""The files of config/ show exactly what the models say, and the demo's CodeExpert is valid."""

from pathlib import Path

import pytest

from nanodex.api.parameters import TrainingConfig
from nanodex.config import CONFIG_MODELS, config_folder, load_config, load_expert

CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize("name", sorted(set(CONFIG_MODELS) - {"train_lora.yaml"}))
def test_file_holds_the_defaults_of_its_model(name: str) -> None:
    assert load_config(CONFIG_MODELS[name], CONFIG / name) == CONFIG_MODELS[name]()


def test_lora_differs_from_the_defaults_in_method_and_rate_only() -> None:
    expected = TrainingConfig(method="lora", learning_rate="1e-4")
    assert load_config(TrainingConfig, CONFIG / "train_lora.yaml") == expected


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config(TrainingConfig, None) == TrainingConfig()


def test_every_file_of_the_folder_is_known() -> None:
    assert {path.name for path in CONFIG.glob("*.yaml")} == set(CONFIG_MODELS)


@pytest.mark.parametrize("name", sorted(CONFIG_MODELS))
def test_every_field_is_written_out_below_a_comment(name: str) -> None:
    lines = (CONFIG / name).read_text(encoding="utf-8").splitlines()
    fields = [index for index, line in enumerate(lines) if ":" in line and "#" not in line]
    top_level = {lines[index].split(":")[0] for index in fields if not lines[index][0].isspace()}
    assert top_level == {field.alias for field in CONFIG_MODELS[name].model_fields.values()}
    assert all(lines[index - 1].lstrip().startswith("#") for index in fields)


def test_folder_is_found_from_the_package() -> None:
    assert (config_folder() / "samples" / "demo.yaml").is_file()


def test_demo_learns_parcelry_with_the_embedded_model() -> None:
    expert = load_expert(CONFIG / "samples" / "demo.yaml")
    assert expert.model_name == "default/parcelry"
    assert expert.spec.base_model.uri == "bundled://smollm2-135m-instruct"
    assert expert.spec.training.method == "lora"
