"""A wrong resource is refused with a sentence that names the field; a right one is taken."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from nanodex.api.code_expert import CodeExpert
from nanodex.api.model_server import ModelServer
from tests import resources
from tests.resources import EXPERT, SERVER, changed

SAMPLES = Path(__file__).parents[3] / "config" / "samples"


@pytest.mark.parametrize("changes", resources.GOOD_EXPERTS, ids=str)
def test_a_good_code_expert_is_taken(changes: dict[str, Any]) -> None:
    CodeExpert.model_validate(changed(EXPERT, changes))


@pytest.mark.parametrize(("changes", "said"), resources.LOCAL_EXPERTS, ids=str)
def test_one_machine_may_have_its_own_addresses(changes: dict[str, Any], said: str) -> None:
    CodeExpert.model_validate(changed(EXPERT, changes))


@pytest.mark.parametrize(
    ("changes", "said"), [*resources.BAD_EXPERTS, *resources.MISFITTING_EXPERTS], ids=str
)
def test_a_bad_code_expert_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CodeExpert.model_validate(changed(EXPERT, changes))
    assert said in str(caught.value)


@pytest.mark.parametrize("changes", resources.GOOD_SERVERS, ids=str)
def test_a_good_model_server_is_taken(changes: dict[str, Any]) -> None:
    ModelServer.model_validate(changed(SERVER, changes))


@pytest.mark.parametrize(
    ("changes", "said"), [*resources.BAD_SERVERS, *resources.MISFITTING_SERVERS], ids=str
)
def test_a_bad_model_server_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelServer.model_validate(changed(SERVER, changes))
    assert said in str(caught.value)


def test_the_samples_are_valid() -> None:
    expert = yaml.safe_load((SAMPLES / "codeexpert.yaml").read_text(encoding="utf-8"))
    server = yaml.safe_load((SAMPLES / "modelserver.yaml").read_text(encoding="utf-8"))
    wanted = CodeExpert.model_validate(expert).spec
    offered = ModelServer.model_validate(server).spec
    assert wanted.base_model.uri == offered.base_model.uri
    assert wanted.training.lora.r <= offered.adapters.max_rank
