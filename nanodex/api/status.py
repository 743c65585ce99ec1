"""What the operator reports about a CodeExpert and a ModelServer; the CRDs' status schema.

The status is also the operator's memory between two reconciles: which run of a stage is under way,
which one failed for good and which adapter is served. `phase` and `message` are for people; the
operator never reads them.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from nanodex.api.base import Contract
from nanodex.api.rules import ListMap
from nanodex.api.stages import Task

LongString = Annotated[str, Field(max_length=1024)]
Key = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", max_length=64)]
Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$", max_length=71)]


class StageState(StrEnum):
    """Where a stage is."""

    WAITING = "Waiting"  # For what it reads, or for something outside that `failure` names.
    CACHED = "Cached"  # Its artifact was there before a Job was needed.
    QUEUED = "Queued"  # Its Job exists, no Pod of it runs yet.
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"  # For good: until its key or spec.retryNonce changes.
    SKIPPED = "Skipped"  # Not wanted, for instance while suspended.


class ConditionType(StrEnum):
    """Types of conditions; the last four are present only while they are true."""

    READY = "Ready"
    SOURCE_RESOLVED = "SourceResolved"
    GRAPH_READY = "GraphReady"
    BRAIN_READY = "BrainReady"
    DATASET_READY = "DatasetReady"
    TRAINED = "Trained"
    EVALUATED = "Evaluated"
    ADAPTER_LOADED = "AdapterLoaded"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SOURCE_OUTDATED = "SourceOutdated"
    SUSPENDED = "Suspended"


class Condition(Contract):
    """A condition as Kubernetes defines it (metav1.Condition)."""

    type: ConditionType = Field(description="Which aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        max_length=128,
        description="Why, in one CamelCase word.",
    )
    message: LongString = Field(default="", description="Why, in a sentence; what to do.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation it is of.")
    last_transition_time: datetime = Field(description="When status changed last.")


class Failure(Contract):
    """Why a stage failed or does not get on, and what to do."""

    reason: str = Field(max_length=64, description="Stable reason, for instance OOMKilled.")
    exit_code: int | None = Field(
        default=None, ge=0, le=255, description="Exit code of the container."
    )
    message: LongString = Field(default="", description="What happened.")
    hint: Annotated[str, Field(max_length=512)] = Field(default="", description="What to do.")


class StageProgressStatus(Contract):
    """How far a running stage is."""

    percent: int = Field(default=0, ge=0, le=100, description="Share that is done.")
    eta_seconds: int | None = Field(default=None, ge=0, description="Estimated seconds to the end.")
    message: LongString = Field(default="", description="For instance: epoch 2/3.")


class ArtifactRef(Contract):
    """A committed artifact."""

    digest: Digest = Field(description="sha256: and the digest of its files.")
    size_bytes: int = Field(default=0, ge=0, alias="bytes", description="Size of its files.")


class StageStatus(Contract):
    """One task of the current generation."""

    name: Task = Field(description="Which task.")
    key: Key = Field(default="", description="Key of the run; see nanodex.api.")
    state: StageState = Field(default=StageState.WAITING, description="Where it is.")
    job: Annotated[str, Field(max_length=63)] = Field(default="", description="Its Job.")
    attempts: int = Field(default=0, ge=0, description="Pods that were started for it.")
    retry_nonce: Annotated[str, Field(max_length=256)] = Field(
        default="", description="spec.retryNonce when the run began."
    )
    started_at: datetime | None = Field(default=None, description="When its first Pod ran.")
    finished_at: datetime | None = Field(default=None, description="When it ended.")
    progress: StageProgressStatus | None = Field(default=None, description="While it runs.")
    artifact: ArtifactRef | None = Field(default=None, description="What it published.")
    metrics: dict[Annotated[str, Field(max_length=64)], LongString] = Field(
        default={}, max_length=64, description="Its most telling figures, as text."
    )
    failure: Failure | None = Field(default=None, description="Why it does not get on.")


class SourceStatus(Contract):
    """What the source's ref means."""

    commit: str = Field(default="", max_length=64, description="The commit that is learned.")
    observed_at: datetime | None = Field(default=None, description="When the ref was looked at.")
    latest_commit: str = Field(
        default="", max_length=64, description="Newest commit of the ref, if another one."
    )
    spec_key: Key = Field(
        default="", description="Hash of the references that `commit` is an answer to."
    )
    look: int = Field(
        default=0, ge=0, description="Number of the last look at the references; each has a key."
    )


class BaseModelStatus(Contract):
    """What the base model's reference means."""

    revision: str = Field(default="", max_length=256, description="The pinned revision.")
    spec_key: Key = Field(
        default="", description="Hash of the reference that `revision` is an answer to."
    )


class ImagesStatus(Contract):
    """The images that run this expert's stages."""

    nanodex: str = Field(default="", max_length=512, description="Extract, brain and dataset.")
    trainer: str = Field(default="", max_length=512, description="Train and evaluate.")


class PinnedStatus(Contract):
    """What stays as it is when the operator is upgraded."""

    images: ImagesStatus = Field(default=ImagesStatus(), description="Images of the stages.")
    retry_nonce: Annotated[str, Field(max_length=256)] = Field(
        default="", description="spec.retryNonce when they were pinned."
    )


class AdapterStatus(Contract):
    """An adapter that is, was or may be served."""

    digest: Digest = Field(description="Digest of the train stage's artifact.")
    key: Key = Field(default="", description="Key of the train stage.")
    commit: str = Field(default="", max_length=64, description="The commit it learned.")
    base_model: str = Field(
        default="", max_length=1024, description="Address of the base model it belongs to."
    )
    rank: int = Field(default=0, ge=0, description="Its LoRA rank.")
    score: str = Field(default="", max_length=16, description="Recall of trained facts.")
    passed: bool = Field(default=False, description="Whether it passed the gate.")
    promoted_at: datetime | None = Field(default=None, description="When it went into service.")


class ServingStatus(Contract):
    """Where the active adapter answers."""

    server: str = Field(
        default="", max_length=63, description="The ModelServer that answers, or is meant to."
    )
    next_server: str = Field(
        default="",
        max_length=63,
        description="The ModelServer that takes over once it holds the adapter, if another one.",
    )
    model: str = Field(default="", max_length=128, description="Name to put into a request.")
    url: str = Field(default="", max_length=512, description="Base address of the OpenAI API.")
    loaded: str = Field(
        default="", max_length=16, description="Ready replicas that hold the adapter, of all."
    )


class Columns(Contract):
    """Short forms for the columns of `kubectl get`; derived from the rest."""

    base: str = Field(default="", max_length=256, description="Name of the base model.")
    commit: str = Field(default="", max_length=12, description="The commit that is learned.")
    adapter: str = Field(default="", max_length=12, description="Digest of the active adapter.")


class CodeExpertStatus(Contract):
    """Status of a CodeExpert."""

    observed_generation: int = Field(default=0, ge=0, description="metadata.generation it is of.")
    phase: str = Field(default="", max_length=32, description="For people; derived from the rest.")
    stage: str = Field(default="", max_length=32, description="The stage that is under way.")
    progress: str = Field(default="", max_length=16, description="Its progress, for instance 61%.")
    message: LongString = Field(default="", description="For people; what happens now.")
    columns: Columns = Field(default=Columns(), description="Short forms, for people.")
    source: SourceStatus = Field(default=SourceStatus(), description="What the ref means.")
    base_model: BaseModelStatus = Field(
        default=BaseModelStatus(), description="What the base model's reference means."
    )
    pinned: PinnedStatus = Field(default=PinnedStatus(), description="What an upgrade leaves.")
    stages: Annotated[tuple[StageStatus, ...], ListMap("name")] = Field(
        default=(), max_length=8, description="The tasks, in order."
    )
    active: AdapterStatus | None = Field(default=None, description="The adapter that answers.")
    candidate: AdapterStatus | None = Field(
        default=None, description="The adapter that is about to take over, or waits for a person."
    )
    history: tuple[AdapterStatus, ...] = Field(
        default=(), max_length=100, description="Earlier adapters, newest first."
    )
    serving: ServingStatus = Field(default=ServingStatus(), description="Where it answers.")
    conditions: Annotated[tuple[Condition, ...], ListMap("type")] = Field(
        default=(), max_length=16, description="The aspects, by type."
    )


class ServedAdapter(Contract):
    """An adapter on a ModelServer."""

    expert: str = Field(max_length=128, description="<namespace>/<name> of the CodeExpert.")
    digest: Digest = Field(description="Digest of the adapter.")
    loaded: str = Field(default="", max_length=16, description="Replicas that hold it, of all.")
    failure: str = Field(default="", max_length=512, description="Why it was refused.")


class ModelServerStatus(Contract):
    """Status of a ModelServer."""

    observed_generation: int = Field(default=0, ge=0, description="metadata.generation it is of.")
    replicas: int = Field(default=0, ge=0, description="Pods of the server.")
    ready_replicas: int = Field(default=0, ge=0, description="Pods that answer.")
    selector: str = Field(default="", max_length=256, description="Labels of its Pods, for scale.")
    set_generation: int = Field(default=0, ge=0, description="Number of the desired set.")
    set_hash: Key = Field(default="", description="Hash of the desired set.")
    # Two versions of one expert are served while its name moves from one to the other.
    adapters: Annotated[tuple[ServedAdapter, ...], ListMap("expert", "digest")] = Field(
        default=(), max_length=4096, description="What is served here."
    )
    url: str = Field(default="", max_length=512, description="Base address of the OpenAI API.")
    base_model: BaseModelStatus = Field(
        default=BaseModelStatus(), description="What the base model's reference means."
    )
    conditions: Annotated[tuple[Condition, ...], ListMap("type")] = Field(
        default=(), max_length=16, description="The aspects, by type."
    )
