"""What kubectl explains, fills in and bounds; that crds/ is up to date is tested with docs/."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from nanodex.api.crds import code_expert_crd, crd_files, model_server_crd

CRDS = {"CodeExpert": code_expert_crd(), "ModelServer": model_server_crd()}
RULES = "x-kubernetes-validations"


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from walk(value, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


FIELDS = [
    pytest.param(path, schema, id=f"{kind}{path}")
    for kind, crd in CRDS.items()
    for path, schema in walk(schema_of(crd))
]


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_described(kind: str) -> None:
    fields = dict(walk(schema_of(CRDS[kind])))
    silent = [
        path
        for path, schema in fields.items()
        if not schema.get("description") and not path.endswith(("[]", "{}", ".metadata"))
    ]
    assert silent == []


@pytest.mark.parametrize(("path", "schema"), FIELDS)
def test_every_field_is_bounded_and_structural(path: str, schema: dict[str, Any]) -> None:
    assert not {"anyOf", "$ref", "title", "const", "propertyNames"} & set(schema)
    match schema["type"]:
        case "string":
            bounded = {"maxLength", "enum", "format"} & set(schema)
            assert bounded or path in (".apiVersion", ".kind")
        case "integer":
            assert "enum" in schema or {"minimum", "format"} <= set(schema)
            assert "enum" in schema or "maximum" in schema or path.startswith(".status")
        case "array":
            assert "maxItems" in schema
            assert schema["x-kubernetes-list-type"] in ("atomic", "set", "map")
        case "object" if path != ".metadata":
            free = schema.get("x-kubernetes-preserve-unknown-fields", False)
            assert free or "properties" in schema or "maxProperties" in schema
        case "boolean" | "object":
            pass
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("kind", CRDS)
def test_defaults_are_in_the_spec_and_never_in_the_status(kind: str) -> None:
    root = schema_of(CRDS[kind])["properties"]
    assert [path for path, schema in walk(root["status"]) if "default" in schema] == []
    optional = [
        path
        for path, schema in walk(root["spec"], "spec")
        if schema["type"] in ("integer", "boolean") and "default" not in schema
    ]
    assert optional == []


def test_a_reference_has_the_default_of_its_own() -> None:
    git = schema_of(CRDS["CodeExpert"])["properties"]["spec"]["properties"]["source"]["properties"]
    assert git["git"]["properties"]["ref"]["default"] == {"branch": "main"}


def test_every_rule_says_what_to_do_in_one_line() -> None:
    for crd in CRDS.values():
        for path, schema in walk(schema_of(crd)):
            for rule in schema.get(RULES, []):
                assert rule["message"].strip(), path
                assert "\n" not in rule["message"] + rule["rule"], path


def test_the_columns_are_those_that_people_were_promised() -> None:
    def columns(kind: str, priority: int) -> list[str]:
        printed = CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]
        return [column["name"] for column in printed if column["priority"] == priority]

    assert columns("CodeExpert", 0) == [
        "Phase", "Stage", "Progress", "Base", "Commit", "Adapter", "Loaded", "Ready", "Age",
    ]  # fmt: skip
    assert columns("CodeExpert", 1) == ["Reason", "Score", "Model"]
    assert columns("ModelServer", 0) == ["Base", "Replicas", "Available", "Ready", "Age"]


@pytest.mark.parametrize("name", crd_files())
def test_no_string_is_a_number_to_kubectl_and_helm(name: str) -> None:
    """They read YAML 1.2, where 2e-4 is a number; PyYAML reads YAML 1.1, where it is not."""
    number = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
    scalars = [
        token
        for token in yaml.scan(crd_files()[name])
        if isinstance(token, yaml.ScalarToken) and token.plain
    ]
    misread = [
        token.value
        for token in scalars
        if number.fullmatch(token.value) and isinstance(yaml.safe_load(token.value), str)
    ]
    assert len(scalars) > 500
    assert misread == []
