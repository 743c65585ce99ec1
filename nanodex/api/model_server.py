"""ModelServer: the shared engine that an administrator offers for one base model."""

from typing import Any, Literal

from pydantic import Field

from nanodex.api.base import Contract, Name, ShortString
from nanodex.api.code_expert import BaseModelRef, SecretRef
from nanodex.api.parameters import Rank


class AdapterLimits(Contract):
    """How many adapters of what rank."""

    max_rank: Rank = 32
    max_loaded: int = Field(default=8, ge=1, le=256, description="On the device at once.")
    max_cached: int = Field(default=64, ge=1, le=4096, description="In the engine's CPU memory.")
    capacity: int = Field(default=200, ge=1, le=4096, description="Experts that may bind.")


class AllowedNamespaces(Contract):
    """Who may place an adapter here: a label selector over namespaces; empty allows all."""

    selector: dict[str, Any] = Field(default_factory=dict)


class Engine(Contract):
    """vLLM's own settings."""

    image: ShortString = ""
    max_model_len: int = Field(default=8192, ge=128)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    extra_args: tuple[ShortString, ...] = Field(default=(), max_length=64)
    env: tuple[dict[str, Any], ...] = Field(default=(), max_length=64)


class ServerPod(Contract):
    """Where the engine runs; the fields are Kubernetes' own."""

    resources: dict[str, Any] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = Field(default=(), max_length=32)


class Access(Contract):
    """Who may ask."""

    api_keys_secret_ref: SecretRef = SecretRef(name="nanodex-api-keys")


class ModelServerSpec(Contract):
    """One base model, served to every namespace that is allowed."""

    base_model: BaseModelRef
    replicas: int = Field(default=1, ge=0, le=1000)
    adapters: AdapterLimits = AdapterLimits()
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    engine: Engine = Engine()
    pod: ServerPod = ServerPod()
    access: Access = Access()


class ServerMetadata(Contract):
    """A ModelServer is cluster-scoped: it has a name and no namespace."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ModelServer(Contract):
    """A shared engine for one base model."""

    api_version: Literal["nanodex.dev/v1alpha1"] = "nanodex.dev/v1alpha1"
    kind: Literal["ModelServer"] = "ModelServer"
    metadata: ServerMetadata
    spec: ModelServerSpec
