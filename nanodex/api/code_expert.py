"""CodeExpert: what a user wants from one repository. The CRD is generated from these models."""

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field

from nanodex.api.base import Contract, Name, Namespace, ShortString
from nanodex.api.parameters import (
    BrainConfig,
    DatasetConfig,
    EvaluationConfig,
    ExtractorConfig,
    TrainingConfig,
)
from nanodex.api.rules import Rule, Ruled, at_least, matches

API_VERSION = "nanodex.dev/v1alpha1"

_OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
# The rules of git check-ref-format that matter to a command line.
_IN_REF = r"\x00-\x20\x7f~^:?*\[\\"


def _ref(name: str) -> tuple[Rule, Rule]:
    message = f"{name} must be a ref name as git knows it, without .. and not behind a dash"
    return (
        matches(rf"[^-/.{_IN_REF}][^{_IN_REF}]*", message),
        Rule(cel="!self.contains('..')", message=message, holds=lambda text: ".." not in text),
    )


def _inside(name: str) -> Rule:
    """Return the rule that a path or pattern does not lead out of the repository."""
    return Rule(
        cel=r"!self.matches(r'(^|/)[.][.](/|$)|[\x00-\x1f\x7f]')",
        message=f"{name} must stay inside the repository: no part of it may be ..",
        holds=lambda path: re.search(r"(^|/)[.][.](/|\Z)|[\x00-\x1f\x7f]", path) is None,
    )


SubPath = Annotated[
    str,
    Field(max_length=1024),
    _inside("subPath"),
    Rule(
        cel=r"!self.startsWith('/') && !self.contains('\\')",
        message="subPath must be relative to the root of the repository, with / between its parts",
        holds=lambda path: not path.startswith("/") and "\\" not in path,
    ),
]
IncludePattern = Annotated[str, Field(min_length=1, max_length=256), _inside("include")]
ExcludePattern = Annotated[str, Field(min_length=1, max_length=256), _inside("exclude")]


class SecretRef(Contract):
    """A Secret in the same namespace."""

    name: Annotated[
        str, matches(_OBJECT_NAME, "name must be the name of a Secret, in lower case")
    ] = Field(max_length=253, description="Its name.")


class GitRef(Ruled):
    """Exactly one of branch, tag or commit."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.branch), has(self.tag), has(self.commit)]"
            ".filter(given, given).size() == 1",
            message="ref must hold exactly one of branch, tag and commit",
            holds=lambda ref: (
                sum(value is not None for value in (ref.branch, ref.tag, ref.commit)) == 1
            ),
        ),
    )

    branch: Annotated[str, Field(max_length=256), *_ref("branch")] | None = Field(
        default=None, description="A branch; it may move."
    )
    tag: Annotated[str, Field(max_length=256), *_ref("tag")] | None = Field(
        default=None, description="A tag."
    )
    commit: (
        Annotated[
            str,
            Field(max_length=64),
            matches(
                r"[0-9a-f]{40}([0-9a-f]{24})?",
                "commit must be a whole commit hash: 40 or 64 hexadecimal digits in lower case",
            ),
        ]
        | None
    ) = Field(default=None, description="A whole commit hash, 40 or 64 hexadecimal digits.")


def repository_name(url: str) -> str:
    """Return the last part of an address without .git, in [A-Za-z0-9._-]; `repository` if empty."""
    last = unquote(re.split(r"[/:]", url.rstrip("/"))[-1]).removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "repository"


class GitSource(Ruled):
    """A git repository and the part of it to learn."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.interval) || !has(self.ref.commit)",
            message="interval has no meaning with ref.commit: a commit never changes; remove one",
            holds=lambda git: git.interval is None or git.ref.commit is None,
        ),
        Rule(
            cel="self.url.startsWith('https://') || self.url.startsWith('file://') "
            "|| has(self.secretRef)",
            message="secretRef must name a Secret with identity and known_hosts: url is reached "
            "over ssh",
            holds=lambda git: (
                git.url.startswith(("https://", "file://")) or git.secret_ref is not None
            ),
        ),
    )

    url: Annotated[
        str,
        matches(
            r"(https://|ssh://|file:///|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)[!-~]+",
            "url must be an https or ssh address, for instance "
            "https://git.example.com/acme/payments.git",
        ),
        Rule(
            cel="!self.matches(r'^(https://[^/]*@|ssh://[^/]*:[^/]*@)')",
            message="url must not hold a user or password; put them into the Secret of secretRef",
            holds=lambda url: re.match(r"https://[^/]*@|ssh://[^/]*:[^/]*@", url) is None,
        ),
    ] = Field(max_length=2048, description="https or ssh address; file:/// on one machine only.")
    ref: GitRef = Field(
        default=GitRef(branch="main"), description="Which commit to learn; absent: the branch main."
    )
    sub_path: SubPath = Field(default="", description="Folder to learn; empty is all.")
    include: tuple[IncludePattern, ...] = Field(
        default=(),
        max_length=64,
        description="Files to learn, in .gitignore's patterns; empty is all.",
    )
    exclude: tuple[ExcludePattern, ...] = Field(
        default=(), max_length=64, description="Files to leave out, in .gitignore's patterns."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials of a private repository; ssh needs them."
    )
    interval: Annotated[str, Field(max_length=16), at_least("30s", name="interval")] | None = Field(
        default=None,
        description="How often to look for a new commit; absent: when the resource changes.",
    )

    @property
    def repository_name(self) -> str:
        """Last part of the address without .git, in [A-Za-z0-9._-]; `repository` if empty."""
        return repository_name(self.url)


class Source(Contract):
    """Where the code is."""

    git: GitSource = Field(description="A git repository and the part of it to learn.")


class BaseModelRef(Contract):
    """The model that is adapted."""

    uri: Annotated[
        str,
        matches(
            r"bundled://[A-Za-z0-9._-]+"
            r"|hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
            r"|(s3|pvc|file)://[A-Za-z0-9._/@:-]+",
            "uri must be hf://OWNER/NAME or bundled://NAME; a branch, tag or commit goes into "
            "revision",
        ),
    ] = Field(
        max_length=1024,
        description="hf://OWNER/NAME or bundled://NAME; file:///FOLDER on one machine only.",
    )
    revision: Annotated[
        str,
        matches(
            r"[A-Za-z0-9._/-]*",
            "revision must be a commit, branch or tag of the model's repository",
        ),
    ] = Field(
        default="",
        max_length=256,
        description="Commit of the model's repository; empty: what is found is pinned.",
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials of a private model."
    )


def _optional_name(field: str, kind: str) -> Rule:
    return matches(f"({_OBJECT_NAME})?", f"{field} must be the name of a {kind}, or empty")


# Kubernetes' own fields, kept as they are; the API server judges them when the Pod is made.
PodFields = dict[str, Any]
LabelKey = Annotated[str, Field(max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class Pod(Contract):
    """Where and how the training Pod runs; the fields are Kubernetes' own."""

    resources: PodFields = Field(default_factory=dict, description="Requests and limits.")
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels that the node must have."
    )
    tolerations: tuple[PodFields, ...] = Field(
        default=(), max_length=32, description="Taints of the node that the Pod tolerates."
    )
    affinity: PodFields = Field(default_factory=dict, description="Affinity of the Pod.")
    priority_class_name: Annotated[str, _optional_name("priorityClassName", "PriorityClass")] = (
        Field(default="", max_length=253, description="PriorityClass of the Pod.")
    )
    runtime_class_name: Annotated[str, _optional_name("runtimeClassName", "RuntimeClass")] = Field(
        default="", max_length=253, description="RuntimeClass of the Pod."
    )
    service_account_name: Annotated[str, _optional_name("serviceAccountName", "ServiceAccount")] = (
        Field(default="", max_length=253, description="ServiceAccount of the Pod.")
    )


class TrainingSpec(TrainingConfig):
    """Training parameters and how the cluster runs them."""

    rules: ClassVar[tuple[Rule, ...]] = (
        # With one node it is TrainingConfig's own rule.
        Rule(
            cel="self.batchSize % (self.microBatchSize * self.nodes) == 0",
            message="batchSize must be a multiple of microBatchSize times nodes",
            holds=lambda training: (
                training.batch_size % (training.micro_batch_size * training.nodes) == 0
            ),
        ),
    )

    nodes: int = Field(
        default=1, ge=1, le=64, description="Pods that train together, one process each."
    )
    active_deadline: Annotated[str, at_least("1m", name="activeDeadline")] = Field(
        default="24h",
        max_length=16,
        description="How long training may take once it runs; waiting in a queue is free.",
    )
    backoff_limit: int = Field(
        default=3, ge=0, le=20, description="Failed attempts before training is given up."
    )
    queue_name: Annotated[str, _optional_name("queueName", "LocalQueue of Kueue")] = Field(
        default="", max_length=63, description="Kueue's queue."
    )
    pod: Pod = Field(default=Pod(), description="Where and how the training Pod runs.")


class EvaluationSpec(EvaluationConfig):
    """Evaluation parameters and who promotes."""

    promotion: Literal["Automatic", "Manual"] = Field(
        default="Automatic", description="Who puts an adapter that passed the gate into service."
    )


class ServerRef(Contract):
    """A ModelServer; empty means the one whose base model matches."""

    name: Annotated[str, _optional_name("name", "ModelServer")] = Field(
        default="", max_length=40, description="Its name."
    )


class Serving(Contract):
    """Whether and where the adapter is served."""

    enabled: bool = Field(default=True, description="Whether the adapter is served.")
    server_ref: ServerRef = Field(
        default=ServerRef(), description="The ModelServer; empty: the one whose base model matches."
    )
    pin: Annotated[
        str,
        matches(
            r"((sha256:)?[0-9a-f]{64})?",
            "pin must be the digest of an adapter as status.history shows it, or empty",
        ),
    ] = Field(default="", max_length=71, description="Digest to keep serving; empty: the newest.")


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
