"""Stable reasons of failure and the exit codes that carry them out of a stage."""

from enum import IntEnum, StrEnum
from typing import Self


class ExitCode(IntEnum):
    """How a stage ended. 10-19: the input is wrong; 20-29: not servable; 30-39: try again."""

    DONE = 0
    BUG = 1
    INVALID_INPUT = 10
    REF_NOT_FOUND = 11
    EMPTY_SOURCE = 12
    AUTHENTICATION_FAILED = 13
    TRAINING_FAILED = 14
    BELOW_THRESHOLD = 15
    NOT_SERVABLE = 20
    RANK_TOO_HIGH = 21
    TRY_AGAIN = 30
    STORE_UNAVAILABLE = 31
    GIT_UNAVAILABLE = 32
    DIGEST_MISMATCH = 33
    SERVER_UNAVAILABLE = 34
    INTERRUPTED = 75


class Reason(StrEnum):
    """Why something failed. Names are stable: dashboards and scripts match on them."""

    INVALID_INPUT = "InvalidInput"
    REF_NOT_FOUND = "RefNotFound"
    EMPTY_SOURCE = "EmptySource"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    NOTHING_TO_LEARN = "NothingToLearn"
    NAN_LOSS = "NaNLoss"
    BELOW_THRESHOLD = "BelowThreshold"
    NOT_SERVABLE = "NotServable"
    RANK_TOO_HIGH = "RankTooHigh"
    STORE_UNAVAILABLE = "StoreUnavailable"
    STORE_WITHOUT_CONDITIONAL_WRITES = "StoreWithoutConditionalWrites"
    GIT_UNAVAILABLE = "GitUnavailable"
    DIGEST_MISMATCH = "DigestMismatch"
    LOAD_REJECTED = "LoadRejected"
    SERVER_UNAVAILABLE = "ServerUnavailable"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    INTERRUPTED = "Interrupted"
    OOM_KILLED = "OOMKilled"
    EVICTED = "Evicted"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_ERROR = "ImagePullError"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    NO_SERVER = "NoServer"
    SERVER_AT_CAPACITY = "ServerAtCapacity"
    INVALID_SPEC = "InvalidSpec"
    PIN_NOT_FOUND = "PinNotFound"
    JOB_REFUSED = "JobRefused"
    ANSWER_LOST = "AnswerLost"
    ARTIFACT_MISSING = "ArtifactMissing"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    POD_FAILURE_POLICY = "PodFailurePolicy"
    INTERNAL_ERROR = "InternalError"


class ConditionReason(StrEnum):
    """Why a condition of a resource is as it is, where nothing failed; else it is a Reason.

    Attributes:
        meaning: one sentence for people.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Return the member `value` with its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    RESOLVING = "Resolving", "The references of the spec are being looked up."
    RESOLVED = "Resolved", "Commit and base model revision are known."
    WAITING = "Waiting", "A stage before this one is not done yet."
    QUEUED = "Queued", "The Job exists; no Pod of it runs yet."
    RUNNING = "Running", "The Job is at work."
    SUCCEEDED = "Succeeded", "The stage published its artifact."
    CACHED = "Cached", "The artifact was there already; no Job was needed."
    PASSED = "Passed", "The adapter passed the gate."
    LOADING = "Loading", "Not every ready replica holds the adapter and answers to the name yet."
    LOADED = "Loaded", "Every ready replica holds the adapter and answers to the name."
    SERVER_NOT_READY = "ServerNotReady", "The ModelServer has no ready replica."
    SERVING_DISABLED = "ServingDisabled", "spec.serving.enabled is false."
    NO_ADAPTER = "NoAdapter", "No adapter has been promoted yet."
    AWAITING_PROMOTION = (
        "AwaitingPromotion",
        "The adapter passed; spec.serving.pin with its digest puts it into service.",
    )
    SERVING = "Serving", "The active adapter answers."
    PUBLISHED = "Published", "The active adapter is published; it is not wanted on a server."
    PROGRESSING = "Progressing", "Work is under way."
    NEW_COMMIT = "NewCommit", "The ref has a newer commit than the active adapter learned."
    SUSPENDED = "Suspended", "spec.suspend is true."
    REPLICAS_READY = "ReplicasReady", "Every replica answers."
    REPLICAS_STARTING = "ReplicasStarting", "Some replicas do not answer yet."
    NO_REPLICAS = "NoReplicas", "spec.replicas is 0."
    ALL_LOADED = "AllLoaded", "Every ready replica holds every adapter."
    SOME_MISSING = "SomeMissing", "Some adapters are not on every ready replica yet."
    SOME_REFUSED = "SomeRefused", "Some adapters are not served; status.adapters says why."
