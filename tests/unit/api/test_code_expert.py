"""A wrong CodeExpert is refused with a sentence that names the field."""

from typing import Any

import pytest
from pydantic import ValidationError

from nanodex.api.code_expert import CodeExpert


def expert(**git: Any) -> dict[str, Any]:
    return {
        "apiVersion": "nanodex.dev/v1alpha1",
        "kind": "CodeExpert",
        "metadata": {"name": "payments-api", "namespace": "team-a"},
        "spec": {
            "source": {
                "git": {
                    "url": "https://git.example.com/acme/payments.git",
                    "ref": {"branch": "main"},
                }
                | git
            },
            "baseModel": {"uri": "hf://Qwen/Qwen2.5-Coder-7B-Instruct"},
        },
    }


def test_defaults_are_filled_in() -> None:
    loaded = CodeExpert.model_validate(expert())
    assert loaded.spec.training.lora.r == 16
    assert loaded.spec.serving.enabled
    assert loaded.model_name == "team-a/payments-api"


def test_it_survives_a_round_trip_through_json() -> None:
    loaded = CodeExpert.model_validate(expert())
    assert CodeExpert.model_validate_json(loaded.model_dump_json()) == loaded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ref": {}}, "exactly one of branch, tag and commit"),
        ({"ref": {"branch": "main", "tag": "v1"}}, "exactly one of branch, tag and commit"),
        ({"ref": {"branch": "--upload-pack=x"}}, "not a valid ref name"),
        ({"ref": {"commit": "HEAD"}}, "ref.commit"),
        ({"ref": {"commit": "a" * 40}, "interval": "1h"}, "a commit never changes"),
        ({"url": "https://me:secret@git.example.com/x.git"}, "must not hold a user or password"),
        ({"url": "ssh://git@git.example.com/x.git"}, "needs secretRef"),
        ({"url": "git@git.example.com:x.git"}, "needs secretRef"),
        ({"url": "ext::sh -c id"}, "git.url"),
        ({"url": "--upload-pack=id"}, "git.url"),
        ({"subPath": "/etc"}, "relative path"),
        ({"subPath": "a/../../b"}, "relative path"),
        ({"include": ["*.py"] * 65}, "git.include"),
        ({"branch": "main"}, "Extra inputs"),
    ],
)
def test_a_bad_source_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CodeExpert.model_validate(expert(**change))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"learningRate": "0"}, "learningRate"),
        ({"learningRate": "0.02"}, "learningRate"),
        ({"learningRate": "nan"}, "finite"),
        ({"learningRate": 0.0002}, "valid string"),
        ({"lora": {"r": 12}}, "lora.r"),
        ({"lora": {"dropout": "1"}}, "dropout"),
        ({"batchSize": 8, "microBatchSize": 3}, "microBatchSize"),
    ],
)
def test_bad_training_parameters_are_refused(training: dict[str, Any], message: str) -> None:
    wrong = expert()
    wrong["spec"]["training"] = training
    with pytest.raises(ValidationError, match=message):
        CodeExpert.model_validate(wrong)


def test_a_name_that_cannot_name_a_job_is_refused() -> None:
    wrong = expert()
    wrong["metadata"]["name"] = "a" * 41
    with pytest.raises(ValidationError, match="at most 40"):
        CodeExpert.model_validate(wrong)
