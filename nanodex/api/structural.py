"""Turns a model of the contract into the structural schema that a CRD wants.

JSON Schema says more than a CRD may: references, null as a type, titles. What is left is inlined
and explicit: every list has its type for server-side apply, every free object keeps its fields.
The rules of nanodex.api.rules are in the models' own schema already.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nanodex.api.rules import LIST_TYPE, VALIDATIONS

Schema = dict[str, Any]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_LEFT_OUT = ("title", "propertyNames", "$defs")


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of `model`, with its defaults.

    The default of an object is no more than it must be: the API server fills in the rest.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, definitions=schema.get("$defs", {}))


def without_defaults(schema: Schema) -> Schema:
    """Return the schema of a status: whoever writes it says what it holds."""
    result = {name: value for name, value in schema.items() if name != "default"}
    if "properties" in schema:
        result["properties"] = {
            name: without_defaults(value) for name, value in schema["properties"].items()
        }
    if "items" in schema:
        result["items"] = without_defaults(schema["items"])
    return result


def _structural(schema: Schema, *, definitions: Mapping[str, Schema]) -> Schema:
    schema = _inlined(schema, definitions=definitions)
    result = {name: value for name, value in schema.items() if name not in _LEFT_OUT}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if result.get("default", "") is None:
        # A field without a value is absent; the API server takes null for that.
        del result["default"]
    if result["type"] == "integer":
        result["format"] = "int64"
    if "items" in result:
        result["items"] = _structural(result["items"], definitions=definitions)
        result.setdefault(LIST_TYPE, "atomic")
    if "properties" in result:
        result["properties"] = {
            name: _structural(value, definitions=definitions)
            for name, value in result["properties"].items()
        }
        del result["additionalProperties"]
        if "default" in result:
            result["default"] = _default_of_object(result["default"], result)
    elif result["type"] == "object":
        values = result.pop("additionalProperties", True)
        if values is True:
            result[_PRESERVE] = True
        else:
            result["additionalProperties"] = _structural(values, definitions=definitions)
    return result


def _inlined(schema: Schema, *, definitions: Mapping[str, Schema]) -> Schema:
    """Replace a reference and a choice between something and null by what they stand for."""
    rest = {name: value for name, value in schema.items() if name not in ("$ref", "anyOf")}
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        return _inlined(target | rest, definitions=definitions)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"a CRD cannot say {schema['anyOf']}")
        return _inlined(options[0] | rest, definitions=definitions)
    return schema


def _default_of_object(default: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return what must stand in the default of an object.

    Its own fields' defaults are left out, unless it has rules: the API server judges a default
    before it fills in what is missing.
    """
    result = {}
    for name, value in default.items():
        inner = schema["properties"][name]
        if isinstance(value, dict) and "properties" in inner:
            value = _default_of_object(value, inner)
            kept = value != inner.get("default", {})
        else:
            known = inner.get("default") if VALIDATIONS not in schema else None
            # An empty free object says nothing.
            kept = value is not None and value != {} and value != known
        if kept:
            result[name] = value
    return result
