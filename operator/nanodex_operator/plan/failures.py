"""Why a Job failed and what to do about it, from what its Pods and its conditions say."""

import re
from collections.abc import Iterable

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.status import Failure
from nanodex_operator.snapshot import ObservedJob, ObservedPod, PodState

_LONGEST_MESSAGE = 1024
_LONGEST_HINT = 512

# What to do, by reason; used where the stage itself did not say it better.
HINTS: dict[Reason, str] = {
    Reason.INVALID_INPUT: "Correct the field that the message names.",
    Reason.INVALID_SPEC: "Correct the field that the message names, or upgrade the operator if it "
    "is one of a newer version.",
    Reason.REF_NOT_FOUND: "Correct spec.source.git.ref; `git ls-remote URL` shows what there is.",
    Reason.EMPTY_SOURCE: "Check subPath, include, exclude and extract.languages.",
    Reason.AUTHENTICATION_FAILED: "Check the Secret named in secretRef, then change retryNonce.",
    Reason.NOTHING_TO_LEARN: "Lower dataset.minConfidence or learn more of the repository.",
    Reason.NAN_LOSS: "Lower training.learningRate or raise training.warmupPercent.",
    Reason.BELOW_THRESHOLD: "Raise training.epochs, lower dataset.maxFacts, or lower "
    "evaluation.minScore; `nanodex report` shows the evaluation.",
    Reason.NOT_SERVABLE: "Train an adapter without what the message names.",
    Reason.RANK_TOO_HIGH: "Lower training.lora.r, or raise adapters.maxRank of the ModelServer.",
    Reason.STORE_UNAVAILABLE: "Check that the store answers, then change retryNonce.",
    Reason.STORE_WITHOUT_CONDITIONAL_WRITES: "Use a store that honours If-None-Match.",
    Reason.GIT_UNAVAILABLE: "Check address and network policies of the git server.",
    Reason.DIGEST_MISMATCH: "`nanodex artifacts verify STORE --repair`, then change retryNonce.",
    Reason.LOAD_REJECTED: "Check that the server runs the base model that was trained on, "
    "then train again.",
    Reason.SERVER_UNAVAILABLE: "Look at the log of the server's Pods.",
    Reason.MODEL_UNAVAILABLE: "Check baseModel.uri and its secretRef, then change retryNonce.",
    Reason.INTERRUPTED: "Change retryNonce: it goes on from its last checkpoint.",
    Reason.OOM_KILLED: "Raise the memory limit in training.pod.resources, or lower "
    "training.maxSeqLength or training.microBatchSize; then change retryNonce.",
    Reason.EVICTED: "Give the Pod more ephemeral storage or a higher priority, then change "
    "retryNonce.",
    Reason.UNSCHEDULABLE: "Compare training.pod (resources, nodeSelector, tolerations) with the "
    "nodes; it goes on by itself when a node fits.",
    Reason.IMAGE_PULL_ERROR: "Check the name of the image and the pull secret; it goes on by "
    "itself when the image can be pulled.",
    Reason.DEADLINE_EXCEEDED: "Raise training.activeDeadline or train less; then change "
    "retryNonce: it goes on from its last checkpoint.",
    Reason.NO_SERVER: "Create a ModelServer for the base model, or name one in serving.serverRef.",
    Reason.SERVER_AT_CAPACITY: "Raise adapters.capacity of the ModelServer, or serve fewer "
    "experts from it.",
    Reason.PIN_NOT_FOUND: "Take a digest from status.history, or empty serving.pin.",
    Reason.JOB_REFUSED: "Correct training.pod, or raise the quota; it is tried again.",
    Reason.ANSWER_LOST: "Nothing: it is asked again.",
    Reason.ARTIFACT_MISSING: "Let operator and Jobs use the same store, then change retryNonce.",
    Reason.BACKOFF_LIMIT_EXCEEDED: "Look at the log of the last Pod, then change retryNonce.",
    Reason.POD_FAILURE_POLICY: "Look at the log of the last Pod, then change retryNonce.",
    Reason.INTERNAL_ERROR: "Please report it with the log of the Pod; change retryNonce to retry.",
}

# Reasons that may be gone at the next attempt, whatever the exit code.
_PASSING = frozenset(
    {
        Reason.ANSWER_LOST,
        Reason.BACKOFF_LIMIT_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        Reason.EVICTED,
        Reason.GIT_UNAVAILABLE,
        Reason.INTERRUPTED,
        Reason.STORE_UNAVAILABLE,
    }
)
_OF_POD_STATE = {
    PodState.OOM_KILLED: Reason.OOM_KILLED,
    PodState.EVICTED: Reason.EVICTED,
    PodState.UNSCHEDULABLE: Reason.UNSCHEDULABLE,
    PodState.IMAGE_PULL_ERROR: Reason.IMAGE_PULL_ERROR,
}
_OF_EXIT_CODE = {
    ExitCode.BUG: Reason.INTERNAL_ERROR,
    ExitCode.TRAINING_FAILED: Reason.NAN_LOSS,
    ExitCode.TRY_AGAIN: Reason.BACKOFF_LIMIT_EXCEEDED,
} | {code: Reason[code.name] for code in ExitCode if code.name in Reason.__members__}


def failure(
    reason: Reason, message: str, *, exit_code: int | None = None, hint: str = ""
) -> Failure:
    """Return a Failure that fits the status, with the hint of its reason unless one is given."""
    return Failure(
        reason=reason,
        exit_code=exit_code,
        message=message[:_LONGEST_MESSAGE],
        hint=(hint or HINTS[reason])[:_LONGEST_HINT],
    )


def failure_of_job(job: ObservedJob) -> Failure:
    """Return why `job` failed: its newest failed Pod's last word, else its Pod, else the Job's."""
    pod = _newest_failed(job.pods)
    exit_code = pod.exit_code if pod is not None else None
    if job.reason == Reason.DEADLINE_EXCEEDED:
        # The Pod was stopped for it; what it says is only that it was stopped.
        return failure(Reason.DEADLINE_EXCEEDED, job.message, exit_code=exit_code)
    if pod is not None:
        found = _failure_of_pod(pod)
        if found is not None:
            return found
    return _failure_of_condition(job, exit_code=exit_code)


def failure_of_waiting(pods: Iterable[ObservedPod]) -> Failure | None:
    """Return why a Pod that should run cannot start; None if none is held up."""
    for pod in pods:
        if pod.state in (PodState.UNSCHEDULABLE, PodState.IMAGE_PULL_ERROR):
            return failure(_OF_POD_STATE[pod.state], pod.message or f"{pod.name} cannot start")
    return None


def out_of_memory(job: ObservedJob) -> Failure | None:
    """Return the failure of a Pod that ran out of memory; None if none did."""
    for pod in job.pods:
        if pod.state is PodState.OOM_KILLED:
            return failure(
                Reason.OOM_KILLED,
                pod.message or f"{pod.name} needed more memory than its limit",
                exit_code=pod.exit_code,
            )
    return None


def below_threshold(job: ObservedJob) -> bool:
    """Tell whether evaluation did its work and only the gate said no."""
    pod = _newest_failed(job.pods)
    return pod is not None and (
        pod.exit_code == ExitCode.BELOW_THRESHOLD
        or (pod.last_word is not None and pod.last_word.exit_code == ExitCode.BELOW_THRESHOLD)
    )


def may_pass(found: Failure) -> bool:
    """Tell whether another attempt may go well without a change by the user."""
    if found.exit_code is not None and ExitCode.TRY_AGAIN <= found.exit_code < 40:
        return True
    return found.reason in _PASSING


def _newest_failed(pods: tuple[ObservedPod, ...]) -> ObservedPod | None:
    ended = (PodState.FAILED, PodState.OOM_KILLED, PodState.EVICTED)
    return next((pod for pod in reversed(pods) if pod.state in ended), None)


def _failure_of_pod(pod: ObservedPod) -> Failure | None:
    if pod.state in _OF_POD_STATE:
        return failure(_OF_POD_STATE[pod.state], pod.message, exit_code=pod.exit_code)
    word = pod.last_word
    if word is not None and word.exit_code is not ExitCode.DONE:
        reason = word.reason or _OF_EXIT_CODE[word.exit_code]
        return failure(reason, word.message, exit_code=word.exit_code, hint=word.hint)
    if pod.exit_code in _OF_EXIT_CODE:
        return failure(_OF_EXIT_CODE[ExitCode(pod.exit_code)], pod.message, exit_code=pod.exit_code)
    return None


def _failure_of_condition(job: ObservedJob, *, exit_code: int | None) -> Failure:
    said = re.search(r"exit code ([0-9]{1,3})", job.message)
    if exit_code is None and said is not None:
        exit_code = int(said[1])
    if exit_code in _OF_EXIT_CODE:
        reason = _OF_EXIT_CODE[ExitCode(exit_code)]
    elif job.reason == Reason.POD_FAILURE_POLICY:
        reason = Reason.POD_FAILURE_POLICY
    else:
        reason = Reason.BACKOFF_LIMIT_EXCEEDED
    return failure(reason, job.message, exit_code=exit_code)
