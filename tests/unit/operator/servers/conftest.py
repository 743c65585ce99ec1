"""CodeExperts that are bound, and a server to which they are."""

from datetime import UTC, datetime
from typing import Any

from nanodex_operator.servers import BoundExpert, ObservedDeployment, ServerSnapshot
from nanodex_operator.settings import Settings
from nanodex_operator.snapshot import ReplicaReport

from nanodex.api.code_expert import CodeExpert
from nanodex.api.model_server import ModelServer
from nanodex.api.status import AdapterStatus, CodeExpertStatus, ModelServerStatus, ServingStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URI = "bundled://smollm2-135m-instruct"
SERVER = "smol"
SETTINGS = Settings(
    namespace="nanodex-system",
    store="s3://bucket/prefix",
    nanodex_image="registry/nanodex@sha256:1",
    trainer_image="registry/trainer@sha256:1",
    engine_image="registry/vllm@sha256:1",
)


def digest(number: int) -> str:
    return f"sha256:{number:012x}{number:052x}"


def adapter(number: int) -> AdapterStatus:
    return AdapterStatus(
        digest=digest(number), key=f"{number:064x}", commit="c" * 40, base_model=URI, rank=8
    )


def bound(
    name: str,
    *,
    active: int = 0,
    candidate: int = 0,
    namespace: str = "team",
    admitted: bool = True,
) -> BoundExpert:
    spec: dict[str, Any] = {
        "source": {"git": {"url": "https://git.example.com/a/b.git"}},
        "baseModel": {"uri": URI},
    }
    expert = CodeExpert.model_validate(
        {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
    )
    status = CodeExpertStatus(
        active=adapter(active) if active else None,
        candidate=adapter(candidate) if candidate else None,
        serving=ServingStatus(server=SERVER),
    )
    return BoundExpert(expert=expert, status=status, admitted=admitted)


def replica(pod: str, *numbers: int, generation: int = 1, **fields: Any) -> ReplicaReport:
    return ReplicaReport(
        pod=pod, set_generation=generation, loaded=frozenset(map(digest, numbers)), **fields
    )


def snapshot(*experts: BoundExpert, **fields: Any) -> ServerSnapshot:
    spec = {"baseModel": {"uri": URI}} | fields.pop("spec", {})
    ready = len(fields.get("replicas", ()))
    values: dict[str, Any] = {
        "now": NOW,
        "server": ModelServer.model_validate({"metadata": {"name": SERVER}, "spec": spec}),
        "uid": "0b5e7a55",
        "generation": 1,
        "deleting": False,
        "status": ModelServerStatus(),
        "settings": SETTINGS,
        "experts": experts,
        "deployment": ObservedDeployment(replicas=ready, ready_replicas=ready),
    }
    return ServerSnapshot(**(values | fields))
