"""Links between the pages, and the YAML they show."""

import re
from pathlib import Path

import pytest
import yaml

from nanodex.api.code_expert import CodeExpert
from nanodex.api.parameters import DatasetConfig, TrainingConfig
from nanodex.config import load_expert, parse_config

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_names_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (DOCS / target).exists()] == []


def test_the_smallest_expert_is_valid() -> None:
    text = (DOCS / "write-a-codeexpert.md").read_text(encoding="utf-8")
    smallest = re.findall(r"```yaml\n(.+?)```", text, re.DOTALL)[0]
    assert CodeExpert.model_validate(yaml.safe_load(smallest)).model_name == "default/payments"


@pytest.mark.parametrize(
    ("name", "model"), [("my-dataset.yaml", DatasetConfig), ("my-training.yaml", TrainingConfig)]
)
def test_the_settings_of_the_quickstart_are_those_of_the_demo(
    name: str, model: type[DatasetConfig | TrainingConfig]
) -> None:
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```yaml\n# {name}\n(.+?)```", text, re.DOTALL)
    shown = parse_config(block.encode(), model, origin=name)
    spec = load_expert(DOCS.parent / "config" / "samples" / "demo.yaml").spec
    used = spec.dataset if model is DatasetConfig else spec.training
    assert {field: getattr(used, field) for field in shown.model_fields_set} == {
        field: getattr(shown, field) for field in shown.model_fields_set
    }
