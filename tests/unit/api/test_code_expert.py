"""What a CodeExpert means once it is read."""

from typing import Any

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
