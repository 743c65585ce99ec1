"""A wrong value is refused with a sentence that names it, and every value is described."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm import CHART, VALUES, Helm, HelmFailed

_DEFAULT = next(path for path in VALUES if path.name == "default-values.yaml")
_SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
_VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("artifacts.url", '"/data/artifacts"', "'/artifacts/url'"),
        ("artifacts.url", '"https://bucket.example.com"', "'/artifacts/url'"),
        ("artifacts.endpoint", '"s3.example.com"', "'/artifacts/endpoint'"),
        ("artifacts.endpoint", '"https://user:password@s3.example.com"', "'/artifacts/endpoint'"),
        ("artifacts.existingSecret", '"No_Name"', "'/artifacts/existingSecret'"),
        ("artifacts.bucket", '"nanodex"', "'bucket' not allowed"),
        ("watchNamespaces", '"team-a"', "'/watchNamespaces'"),
        ("watchNamespaces", '["team-a", "team-a"]', "'/watchNamespaces'"),
        ("watchNamespaces", '["*"]', "'/watchNamespaces/0'"),
        ("images.pullPolicy", '"Sometimes"', "'/images/pullPolicy'"),
        ("images.operator.digest", '"sha256:1234"', "'/images/operator/digest'"),
        ("images.operator.tag", '"a b"', "'/images/operator/tag'"),
        ("operator.replicas", '"2"', "'/operator/replicas'"),
        ("operator.replicas", "-1", "'/operator/replicas'"),
        ("operator.concurrency", "0", "'/operator/concurrency'"),
        ("operator.jobTtlSeconds", "59", "'/operator/jobTtlSeconds'"),
        ("operator.env", '[{"name": "NANODEX_STORE", "value": "s3://other"}]', "'/operator/env/0"),
        ("operator.resources.limits.memory", '"lots"', "'/operator/resources/limits/memory'"),
        ("networkPolicy.apiServer.ports", "[]", "'/networkPolicy/apiServer/ports'"),
        ("networkPolicy.store.ports", "[70000]", "'/networkPolicy/store/ports/0'"),
        ("networkPolicy.metricsPeers", "[{}]", "'/networkPolicy/metricsPeers/0'"),
        ("monitoring.serviceMonitor.interval", '"often"', "'/monitoring/serviceMonitor/interval'"),
        ("networkpolicy", '{"enabled": false}', "'networkpolicy' not allowed"),
    ],
)
def test_a_wrong_value_is_refused(helm: Helm, name: str, value: str, said: str) -> None:
    with pytest.raises(HelmFailed, match="values don't meet the specifications") as refused:
        helm.template(_DEFAULT, settings={name: value})
    assert said in str(refused.value)


def test_a_missing_store_is_asked_for(helm: Helm) -> None:
    with pytest.raises(HelmFailed, match=r"--set artifacts\.url=s3://BUCKET/PREFIX"):
        helm.template()


@pytest.mark.parametrize(
    ("endpoint", "ports"),
    [
        ("", [443]),
        ("https://s3.example.com", [443]),
        ("http://minio.storage.svc", [80]),
        ("http://minio.storage.svc:9000", [9000]),
        ("https://[fd00::1]:9000/", [9000]),
        ("https://[fd00::1]", [443]),
    ],
)
def test_the_port_of_the_store_is_open(helm: Helm, endpoint: str, ports: list[int]) -> None:
    rendered = helm.template(
        _DEFAULT,
        settings={"artifacts.endpoint": json.dumps(endpoint)},
        only=["networkpolicy.yaml"],
    )
    store = yaml.safe_load(rendered)["spec"]["egress"][2]
    assert [port["port"] for port in store["ports"]] == ports


def test_the_schema_has_each_value_and_no_other() -> None:
    assert set(_leaves(_SCHEMA)) - {("global",)} == set(_paths(_VALUES, schema=_SCHEMA))


def _leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    schema = _resolved(schema)
    if not _has_fields(schema, path):
        yield path
        return
    assert schema["additionalProperties"] is False, path
    for name, inner in schema["properties"].items():
        yield from _leaves(inner, (*path, name))


def _paths(
    values: dict[str, Any], *, schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        inner = _resolved(schema["properties"][name])
        if _has_fields(inner, (*path, name)):
            yield from _paths(value, schema=inner, path=(*path, name))
        else:
            yield (*path, name)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "")
    found: dict[str, Any] = (
        _SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else {}
    )
    return found or schema


def _has_fields(schema: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether values.yaml lists the fields: it does unless they are Kubernetes' own."""
    return "properties" in schema and path[-1:] not in (("resources",), ("affinity",))


def test_each_file_of_ci_says_what_it_is_for() -> None:
    for path in VALUES:
        assert path.read_text(encoding="utf-8").startswith("# "), path.name
