"""Stable reasons of failure and the exit codes that carry them out of a stage."""

from enum import IntEnum, StrEnum


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
