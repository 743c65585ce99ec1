"""ModelServer: the shared engine that an administrator offers for one base model."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nanodex.api.base import Contract, Name
from nanodex.api.code_expert import BaseModelRef, LabelKey, LabelValue, PodFields, SecretRef
from nanodex.api.parameters import Rank
from nanodex.api.rules import Rule, Ruled, matches


class AdapterLimits(Ruled):
    """How many adapters of what rank."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.maxLoaded <= self.maxCached",
            message="maxLoaded must be at most maxCached: what is loaded is cached as well",
            holds=lambda limits: limits.max_loaded <= limits.max_cached,
        ),
    )

    max_rank: Rank = Field(default=32, description="Highest LoRA rank that can be loaded.")
    max_loaded: int = Field(default=8, ge=1, le=256, description="On the device at once.")
    max_cached: int = Field(default=64, ge=1, le=4096, description="In the engine's CPU memory.")
    capacity: int = Field(default=200, ge=1, le=4096, description="Experts that may bind.")
    max_disk: Annotated[
        str, matches(r"[1-9][0-9]{0,5}(Mi|Gi|Ti)", "maxDisk must be a size like 500Mi, 20Gi or 1Ti")
    ] = Field(
        default="20Gi", max_length=8, description="Adapter files on the disk of each replica."
    )

    @property
    def max_disk_bytes(self) -> int:
        """`max_disk` as a number of bytes."""
        return int(self.max_disk[:-2]) << {"Mi": 20, "Gi": 30, "Ti": 40}[self.max_disk[-2:]]


class AllowedNamespaces(Contract):
    """Who may place an adapter here."""

    selector: PodFields = Field(
        default_factory=dict,
        description="A label selector over namespaces, as Kubernetes writes it; empty allows all.",
    )


class Engine(Contract):
    """vLLM's own settings."""

    image: Annotated[
        str, matches(r"[A-Za-z0-9._:@/-]*", "image must be the reference of an image, or empty")
    ] = Field(
        default="", max_length=512, description="Image of vLLM; empty: the operator's default."
    )
    max_model_len: int = Field(
        default=8192, ge=128, le=1 << 24, description="Tokens of context, question and answer."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU, float32 on a CPU."
    )
    parity_limit: Annotated[
        str, matches(r"(0[.][0-9]{1,6})?", "parityLimit must be a number below 1, or empty")
    ] = Field(
        default="",
        max_length=8,
        description="Mean |difference| of log-probabilities at which a loaded adapter is accepted; "
        "empty: 0.005 in float32, 0.12 otherwise.",
    )
    extra_args: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(
        default=(), max_length=64, description="Further arguments of vLLM's command line."
    )
    env: tuple[PodFields, ...] = Field(
        default=(), max_length=64, description="Environment of the engine; Kubernetes' own fields."
    )


class ServerPod(Contract):
    """Where the engine runs; the fields are Kubernetes' own."""

    resources: PodFields = Field(default_factory=dict, description="Requests and limits.")
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels that the node must have."
    )
    tolerations: tuple[PodFields, ...] = Field(
        default=(), max_length=32, description="Taints of the node that the Pod tolerates."
    )


class Access(Contract):
    """Who may ask."""

    api_keys_secret_ref: SecretRef = Field(
        default=SecretRef(name="nanodex-api-keys"),
        description="A Secret with the API keys, in the operator's namespace.",
    )
    max_concurrent_requests: int = Field(
        default=64, ge=1, le=4096, description="Requests of one client at the same time."
    )


class ModelServerSpec(Contract):
    """One base model, served to every namespace that is allowed."""

    base_model: BaseModelRef = Field(description="The model that all adapters are for.")
    replicas: int = Field(
        default=1, ge=0, le=1000, description="Engines; an autoscaler may own the number."
    )
    adapters: AdapterLimits = Field(
        default=AdapterLimits(), description="How many adapters of what rank."
    )
    allowed_namespaces: AllowedNamespaces = Field(
        default=AllowedNamespaces(), description="Who may place an adapter here."
    )
    engine: Engine = Field(default=Engine(), description="vLLM's own settings.")
    pod: ServerPod = Field(default=ServerPod(), description="Where the engine runs.")
    access: Access = Field(default=Access(), description="Who may ask.")


class ServerMetadata(Contract):
    """A ModelServer is cluster-scoped: it has a name and no namespace."""

    name: Name = Field(description="Name of the server.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels, kept as they are.")
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations, kept as they are."
    )


class ModelServer(Contract):
    """A shared engine for one base model."""

    api_version: Literal["nanodex.dev/v1alpha1"] = Field(
        default="nanodex.dev/v1alpha1", description="Version of the resource."
    )
    kind: Literal["ModelServer"] = Field(default="ModelServer", description="Kind of the resource.")
    metadata: ServerMetadata = Field(description="What the server is called.")
    spec: ModelServerSpec = Field(description="What is wanted.")
