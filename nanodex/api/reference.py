"""Renders the contract for people: YAML with a comment on each field, and Markdown tables.

The models are the only place where a field, its default and its limits are written down; the files
of config/ and the reference pages of docs/ are rendered from them by docs/generate.py.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PLAIN_WORD = re.compile(r"[a-z][a-z0-9+-]*")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class FieldRow:
    """One field of a model, as a reader needs it."""

    # Names that lead to the field, outermost first.
    path: tuple[str, ...]
    kind: str
    # JSON; "" where the field must be given, or has fields of its own.
    default: str
    limits: str
    description: str
    # Whether the field has fields of its own, which then follow it.
    nested: bool


def field_rows(model: type[BaseModel], *, within: tuple[str, ...] = ()) -> Iterator[FieldRow]:
    """Yield the fields of `model` and of the models inside it, depth first, in their order."""
    properties = model.model_json_schema()["properties"]
    for name, info in model.model_fields.items():
        alias = info.alias or name
        path = (*within, alias)
        inner = _inner_model(info.annotation)
        schema = _value_schema(properties[alias])
        yield FieldRow(
            path=path,
            kind="object" if inner else _kind(schema),
            default="" if inner and info.is_required() else _default(info),
            limits="" if inner else _limits(schema),
            description=info.description or "",
            nested=inner is not None,
        )
        if inner:
            yield from field_rows(inner, within=path)


def yaml_defaults(model: BaseModel, *, title: str) -> str:
    """Render `model` as a YAML file in which a comment above each field says what it means."""
    lines = [f"# {line}" for line in wrap(title, 98)]
    for row in field_rows(type(model)):
        indent = "  " * (len(row.path) - 1)
        comment = " ".join(part for part in (row.description, row.limits) if part)
        if not indent:
            lines.append("")
        lines += [f"{indent}# {line}" for line in wrap(comment, 98 - len(indent))]
        value = "" if row.nested else " " + _yaml(_value(model, row.path))
        lines.append(f"{indent}{row.path[-1]}:{value}")
    return "\n".join(lines) + "\n"


def markdown_table(model: type[BaseModel], *, within: tuple[str, ...] = ()) -> str:
    """Render the fields of `model` as a Markdown table; names are full paths."""
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for row in field_rows(model, within=within):
        if row.nested:
            default = "" if row.default else "required"
        else:
            default = f"`{row.default}`" if row.default else "required"
        meaning = " ".join(part for part in (row.description, row.limits) if part)
        cells = (f"`{'.'.join(row.path)}`", row.kind, default, meaning.replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return models[0] if models else None


def _value_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the value itself where the field may also be null."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    return options[0] if options else schema


def _kind(schema: dict[str, Any]) -> str:
    kind = str(schema.get("type", "object"))
    if kind == "array":
        return f"list of {_kind(schema['items'])}s"
    return kind


def _limits(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"One of {', '.join(str(choice) for choice in schema['enum'])}."
    if "enum" in schema.get("items", {}):
        return f"Any of {', '.join(schema['items']['enum'])}."
    if "const" in schema:
        return f"Always {schema['const']}."
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        return f"{low} to {high}." if high is not None else f"At least {low}."
    return ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return ""
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value)


def _yaml(value: Any) -> str:
    """Render a scalar or a list of them; a string is quoted unless it is one word of letters."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) and value not in _YAML_WORDS:
        return value
    return json.dumps(value)


def _value(model: BaseModel, path: tuple[str, ...]) -> Any:
    value: Any = model
    for name in path:
        fields = type(value).model_fields
        value = getattr(value, next(field for field, i in fields.items() if i.alias == name))
    return value
