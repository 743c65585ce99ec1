"""CodeExpert: what a user wants from one repository. The CRD is generated from these models."""

import re
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator, model_validator

from nanodex.api.base import Contract, Name, Namespace, RelativePath, ShortString
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

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253, description="Its name."
    )


class GitRef(Contract):
    """Exactly one of branch, tag or commit."""

    branch: ShortString | None = Field(default=None, description="A branch; it may move.")
    tag: ShortString | None = Field(default=None, description="A tag.")
    commit: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$",
        description="A whole commit hash, 40 or 64 hexadecimal digits.",
    )

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


def repository_name(url: str) -> str:
    """Return the last part of an address without .git, in [A-Za-z0-9._-]; `repository` if empty."""
    last = unquote(re.split(r"[/:]", url.rstrip("/"))[-1]).removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "repository"


class GitSource(Contract):
    """A git repository and the part of it to learn."""

    url: str = Field(
        pattern=r"^(https://|ssh://|file:///|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[^\s\x00]+$",
        max_length=2048,
        description="https or ssh address; file:/// on one machine only.",
    )
    ref: GitRef = Field(
        default=GitRef(branch="main"), description="Which commit to learn; absent: the branch main."
    )
    sub_path: RelativePath = Field(default="", description="Folder to learn; empty is all.")
    include: tuple[GlobPattern, ...] = Field(
        default=(),
        max_length=64,
        description="Files to learn, in .gitignore's patterns; empty is all.",
    )
    exclude: tuple[GlobPattern, ...] = Field(
        default=(), max_length=64, description="Files to leave out, in .gitignore's patterns."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials of a private repository; ssh needs them."
    )
    interval: str | None = Field(
        default=None,
        pattern=r"^([0-9]+[hms])+$",
        max_length=16,
        description="How often to look for a new commit; absent: when the resource changes.",
    )

    @property
    def repository_name(self) -> str:
        """Last part of the address without .git, in [A-Za-z0-9._-]; `repository` if empty."""
        return repository_name(self.url)

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

    git: GitSource = Field(description="A git repository and the part of it to learn.")


class BaseModelRef(Contract):
    """The model that is adapted."""

    uri: str = Field(
        pattern=r"^(bundled|hf|s3|pvc|file)://[A-Za-z0-9._/@:-]+$",
        max_length=1024,
        description="bundled://smollm2-135m-instruct, hf://OWNER/NAME, s3://, pvc:// or file://.",
    )
    revision: ShortString = Field(
        default="", description="Commit of the model's repository; empty: what is found is pinned."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials of a private model."
    )


class Pod(Contract):
    """Where and how the training Pod runs; the fields are Kubernetes' own."""

    resources: dict[str, Any] = Field(default_factory=dict, description="Requests and limits.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Labels that the node must have."
    )
    tolerations: tuple[dict[str, Any], ...] = Field(
        default=(), max_length=32, description="Taints of the node that the Pod tolerates."
    )
    affinity: dict[str, Any] = Field(default_factory=dict, description="Affinity of the Pod.")
    priority_class_name: ShortString = Field(default="", description="PriorityClass of the Pod.")
    runtime_class_name: ShortString = Field(default="", description="RuntimeClass of the Pod.")
    service_account_name: ShortString = Field(default="", description="ServiceAccount of the Pod.")


class TrainingSpec(TrainingConfig):
    """Training parameters and how the cluster runs them."""

    nodes: int = Field(
        default=1, ge=1, le=64, description="Pods that train together, one process each."
    )
    active_deadline: str = Field(
        default="24h",
        pattern=r"^([0-9]+[hms])+$",
        max_length=16,
        description="How long training may take once it runs; waiting in a queue is free.",
    )
    backoff_limit: int = Field(
        default=3, ge=0, le=20, description="Failed attempts before training is given up."
    )
    queue_name: ShortString = Field(default="", description="Kueue's queue.")
    pod: Pod = Field(default=Pod(), description="Where and how the training Pod runs.")


class EvaluationSpec(EvaluationConfig):
    """Evaluation parameters and who promotes."""

    promotion: Literal["Automatic", "Manual"] = Field(
        default="Automatic", description="Who puts an adapter that passed the gate into service."
    )


class ServerRef(Contract):
    """A ModelServer; empty means the one whose base model matches."""

    name: ShortString = Field(default="", description="Its name.")


class Serving(Contract):
    """Whether and where the adapter is served."""

    enabled: bool = Field(default=True, description="Whether the adapter is served.")
    server_ref: ServerRef = Field(
        default=ServerRef(), description="The ModelServer; empty: the one whose base model matches."
    )
    pin: ShortString = Field(default="", description="Digest to keep serving; empty: the newest.")


class Artifacts(Contract):
    """Where artifacts are kept and for how long."""

    secret_ref: SecretRef = Field(
        default=SecretRef(name="nanodex-s3"),
        description="Credentials of the store; absent: nanodex-s3.",
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain", description="What becomes of artifacts when the CodeExpert is deleted."
    )
    history_limit: int = Field(
        default=5, ge=1, le=100, description="How many earlier adapters are kept."
    )


class CodeExpertSpec(Contract):
    """One repository, one base model, one expert."""

    source: Source = Field(description="Where the code is.")
    base_model: BaseModelRef = Field(description="The model that is adapted.")
    extract: ExtractorConfig = Field(
        default=ExtractorConfig(), description="Which files become the graph."
    )
    brain: BrainConfig = Field(default=BrainConfig(), description="How the graph is summarised.")
    dataset: DatasetConfig = Field(
        default=DatasetConfig(), description="What is asked about the graph."
    )
    training: TrainingSpec = Field(
        default=TrainingSpec(), description="How the adapter is trained."
    )
    evaluation: EvaluationSpec = Field(
        default=EvaluationSpec(), description="How the adapter is judged."
    )
    serving: Serving = Field(default=Serving(), description="Where the adapter is served.")
    artifacts: Artifacts = Field(
        default=Artifacts(), description="Where artifacts are kept and for how long."
    )
    suspend: bool = Field(default=False, description="Start nothing new while true.")
    retry_nonce: ShortString = Field(
        default="", description="Change it to retry a stage that failed for good."
    )


class Metadata(Contract):
    """Name and namespace; what else the API server keeps is not ours to read."""

    name: Name = Field(description="Name of the expert; with the namespace, the model's name.")
    namespace: Namespace = Field(default="default", description="Who owns the expert.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels, kept as they are.")
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations, kept as they are."
    )


class CodeExpert(Contract):
    """A served expert on one repository."""

    api_version: Literal["nanodex.dev/v1alpha1"] = Field(
        default="nanodex.dev/v1alpha1", description="Version of the resource."
    )
    kind: Literal["CodeExpert"] = Field(default="CodeExpert", description="Kind of the resource.")
    metadata: Metadata = Field(description="What the expert is called.")
    spec: CodeExpertSpec = Field(description="What is wanted.")

    @property
    def model_name(self) -> str:
        """The public model name, `<namespace>/<name>`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"
