"""The CustomResourceDefinitions of CodeExpert and ModelServer, generated from their models.

Besides what the models know: names, columns, subresources, and the rules that hold in a cluster
alone. `make docs` writes them to crds/ and into the chart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from nanodex.api.code_expert import API_VERSION, CodeExpert
from nanodex.api.model_server import ModelServer
from nanodex.api.rules import VALIDATIONS
from nanodex.api.status import CodeExpertStatus, ModelServerStatus
from nanodex.api.structural import Schema, structural_schema, without_defaults

GROUP, VERSION = API_VERSION.split("/")

_HEADER = "# Generated from nanodex/api; `make docs` writes it anew.\n"
_NAME = {
    "rule": "self.metadata.name.matches(r'^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$')",
    "message": "metadata.name must be at most 40 characters of a-z, 0-9 and -: other names are "
    "made of it",
}
# The address of a base model or repository that one machine alone can use, by path in the spec.
_CLUSTER_RULES = {
    ("source", "git", "url"): {
        "rule": "!self.startsWith('file://')",
        "message": "url must be an https or ssh address: a Pod has no such folder",
    },
    ("baseModel", "uri"): {
        "rule": "!self.matches('^(file|s3|pvc)://')",
        "message": "uri must be hf://OWNER/NAME or bundled://NAME: a Pod finds no other model",
    },
}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; `wide` ones show with `-o wide`."""

    name: str
    path: str
    meaning: str
    kind: str = "string"
    wide: bool = False


_READY = '.status.conditions[?(@.type=="Ready")]'
_AGE = Column("Age", ".metadata.creationTimestamp", "Since when it exists.", kind="date")
_EXPERT_COLUMNS = (
    Column("Phase", ".status.phase", "What it is doing."),
    Column("Stage", ".status.stage", "The stage that is under way."),
    Column("Progress", ".status.progress", "How far that stage is."),
    Column("Base", ".status.columns.base", "The base model."),
    Column("Commit", ".status.columns.commit", "The commit that is learned."),
    Column("Adapter", ".status.columns.adapter", "Digest of the adapter that answers."),
    Column("Loaded", ".status.serving.loaded", "Ready replicas that hold the adapter, of all."),
    Column("Ready", f"{_READY}.status", "Whether an adapter answers."),
    Column("Reason", f"{_READY}.reason", "Why it is ready or not.", wide=True),
    Column("Score", ".status.active.score", "Recall of trained facts.", wide=True),
    Column("Model", ".status.serving.model", "Name to put into a request.", wide=True),
    _AGE,
)
_SERVER_COLUMNS = (
    Column("Base", ".spec.baseModel.uri", "The base model."),
    Column("Replicas", ".spec.replicas", "Engines that are wanted.", kind="integer"),
    Column("Available", ".status.readyReplicas", "Engines that answer.", kind="integer"),
    Column("Ready", f"{_READY}.status", "Whether an engine answers."),
    Column("Reason", f"{_READY}.reason", "Why it is ready or not.", wide=True),
    Column("URL", ".status.url", "Base address of the OpenAI API.", wide=True),
    _AGE,
)


def code_expert_crd() -> dict[str, Any]:
    """Return the definition of CodeExpert."""
    return _definition(
        CodeExpert,
        status=CodeExpertStatus,
        short="ce",
        scope="Namespaced",
        columns=_EXPERT_COLUMNS,
        subresources={"status": {}},
    )


def model_server_crd() -> dict[str, Any]:
    """Return the definition of ModelServer."""
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return _definition(
        ModelServer,
        status=ModelServerStatus,
        short="ms",
        scope="Cluster",
        columns=_SERVER_COLUMNS,
        subresources={"status": {}, "scale": scale},
    )


def crd_files() -> dict[str, str]:
    """Return the YAML files of both definitions, by name."""
    return {
        f"{GROUP}_{crd['spec']['names']['plural']}.yaml": _as_yaml(crd)
        for crd in (code_expert_crd(), model_server_crd())
    }


def _as_yaml(crd: Mapping[str, Any]) -> str:
    return _HEADER + yaml.dump(
        crd, Dumper=_PlainDumper, sort_keys=False, width=100, allow_unicode=True
    )


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts out each time: not every reader of a CRD knows aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Alias nothing."""
        return True


# For YAML 1.2, and so for kubectl and Helm, 2e-4 is a number: what looks like one is quoted.
_PlainDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _definition(
    model: type[BaseModel],
    *,
    status: type[BaseModel],
    short: str,
    scope: str,
    columns: tuple[Column, ...],
    subresources: Mapping[str, Any],
) -> dict[str, Any]:
    kind = model.__name__
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["nanodex"],
            },
            "scope": scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_printed(column) for column in columns],
                    "subresources": dict(subresources),
                    "schema": {"openAPIV3Schema": _root(model, status=status)},
                }
            ],
        },
    }


def _printed(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.kind,
        "jsonPath": column.path,
        "description": column.meaning,
        "priority": 1 if column.wide else 0,
    }


def _root(model: type[BaseModel], *, status: type[BaseModel]) -> Schema:
    """Return the schema of the whole resource; of its metadata the API server knows all."""
    schema = structural_schema(model)
    of = schema["properties"]
    for path, rule in _CLUSTER_RULES.items():
        field = _field(of["spec"], path)
        if field is not None:
            field[VALIDATIONS].append(rule)
    return {
        "description": schema["description"],
        "type": "object",
        "required": ["metadata", "spec"],
        VALIDATIONS: [_NAME],
        "properties": {
            "apiVersion": {"type": "string", "description": of["apiVersion"]["description"]},
            "kind": {"type": "string", "description": of["kind"]["description"]},
            "metadata": {"type": "object"},
            "spec": of["spec"],
            "status": without_defaults(structural_schema(status)),
        },
    }


def _field(schema: Schema, path: tuple[str, ...]) -> Schema | None:
    for name in path:
        found = schema["properties"].get(name)
        if found is None:
            return None
        schema = found
    return schema
