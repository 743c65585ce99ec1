"""CodeExpert: what a user wants from one repository. The CRD is generated from these models."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from nanodex.api.base import Contract, Name, RelativePath, ShortString
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    TrainingConfig,
)
from nanodex.api.parameters import Pattern as GlobPattern

API_VERSION = "nanodex.dev/v1alpha1"


class SecretRef(Contract):
    """A Secret in the same namespace."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)


class GitRef(Contract):
    """Exactly one of branch, tag or commit."""

    branch: ShortString | None = None
    tag: ShortString | None = None
    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")

    @model_validator(mode="after")
    def _exactly_one(self) -> "GitRef":
        if sum(value is not None for value in (self.branch, self.tag, self.commit)) != 1:
            raise ValueError("exactly one of branch, tag and commit must be set")
        return self

    @field_validator("branch", "tag")
    @classmethod
    def _is_a_ref_name(cls, value: str | None) -> str | None:
        # The rules of git check-ref-format that matter to a command line.
        if value is not None and (
            not value
            or value.startswith(("-", "/", "."))
            or ".." in value
            or any(character in value for character in " ~^:?*[\\\x7f\n\t\0")
        ):
            raise ValueError(f"{value!r} is not a valid ref name")
        return value


class GitSource(Contract):
    """A git repository and the part of it to learn."""

    url: str = Field(
        pattern=r"^(https://|ssh://|file:///|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[^\s\x00]+$",
        max_length=2048,
        description="https or ssh address; file:/// on one machine only.",
    )
    ref: GitRef = GitRef(branch="main")
    sub_path: RelativePath = Field(default="", description="Folder to learn; empty is all.")
    include: tuple[GlobPattern, ...] = Field(default=(), max_length=64)
    exclude: tuple[GlobPattern, ...] = Field(default=(), max_length=64)
    secret_ref: SecretRef | None = None
    interval: str | None = Field(
        default=None,
        pattern=r"^([0-9]+[hms])+$",
        max_length=16,
        description="How often to look for a new commit; absent: when the resource changes.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "GitSource":
        if self.interval is not None and self.ref.commit is not None:
            raise ValueError("interval has no meaning with a commit: a commit never changes")
        authority = self.url.split("://", 1)[-1].split("/", 1)[0]
        if self.url.startswith("https://") and "@" in authority:
            raise ValueError("url must not hold a user or password; use secretRef")
        if not self.url.startswith(("https://", "file://")) and self.secret_ref is None:
            raise ValueError("an ssh url needs secretRef with identity and known_hosts")
        return self


class Source(Contract):
    """Where the code is."""

    git: GitSource


class BaseModelRef(Contract):
    """The model that is adapted."""

    uri: str = Field(
        pattern=r"^(bundled|hf|s3|pvc|file)://[A-Za-z0-9._/@:-]+$",
        max_length=1024,
        description="bundled://smollm2-135m-instruct, hf://OWNER/NAME, s3://, pvc:// or file://.",
    )
    revision: ShortString = ""
    secret_ref: SecretRef | None = None


class Pod(Contract):
    """Where and how the training Pod runs; the fields are Kubernetes' own."""

    resources: dict[str, Any] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = Field(default=(), max_length=32)
    affinity: dict[str, Any] = Field(default_factory=dict)
    priority_class_name: ShortString = ""
    runtime_class_name: ShortString = ""
    service_account_name: ShortString = ""


class TrainingSpec(TrainingConfig):
    """Training parameters and how the cluster runs them."""

    nodes: int = Field(default=1, ge=1, le=64, description="More than 1: torchrun on each.")
    active_deadline: str = Field(default="24h", pattern=r"^([0-9]+[hms])+$", max_length=16)
    backoff_limit: int = Field(default=3, ge=0, le=20)
    queue_name: ShortString = Field(default="", description="Kueue's queue.")
    pod: Pod = Pod()


class EvaluationSpec(EvaluationConfig):
    """Evaluation parameters and who promotes."""

    promotion: Literal["Automatic", "Manual"] = "Automatic"


class ServerRef(Contract):
    """A ModelServer; empty means the one whose base model matches."""

    name: ShortString = ""


class Serving(Contract):
    """Whether and where the adapter is served."""

    enabled: bool = True
    server_ref: ServerRef = ServerRef()
    pin: ShortString = Field(default="", description="Digest to keep serving; empty: the newest.")


class Artifacts(Contract):
    """Where artifacts are kept and for how long."""

    secret_ref: SecretRef = SecretRef(name="nanodex-s3")
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    history_limit: int = Field(default=5, ge=1, le=100)


class CodeExpertSpec(Contract):
    """One repository, one base model, one expert."""

    source: Source
    base_model: BaseModelRef
    extract: ExtractorConfig = ExtractorConfig()
    brain: BrainConfig = BrainConfig()
    dataset: DatasetConfig = DatasetConfig()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    serving: Serving = Serving()
    artifacts: Artifacts = Artifacts()
    suspend: bool = False
    retry_nonce: ShortString = Field(
        default="", description="Change it to retry a stage that failed for good."
    )


class Metadata(Contract):
    """Name and namespace; what else the API server keeps is not ours to read."""

    name: Name
    namespace: Name = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class CodeExpert(Contract):
    """A served expert on one repository."""

    api_version: Literal["nanodex.dev/v1alpha1"] = "nanodex.dev/v1alpha1"
    kind: Literal["CodeExpert"] = "CodeExpert"
    metadata: Metadata
    spec: CodeExpertSpec

    @property
    def model_name(self) -> str:
        """The public model name, `<namespace>/<name>`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"
