"""When the references of a spec are looked up, and what becomes of the answer.

A look is a run of the task `resolve`. Each has a number, which is in its key: the answer of an
earlier look is never taken for a later one's, and a lost answer is asked for again under a new key.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nanodex.api.code_expert import CodeExpert
from nanodex.api.durations import duration_seconds
from nanodex.api.keys import canonical_json
from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import Task
from nanodex.api.status import (
    BaseModelStatus,
    CodeExpertStatus,
    SourceStatus,
    StageState,
    StageStatus,
)
from nanodex_operator.plan.failures import failure, may_pass
from nanodex_operator.plan.runs import Followed, Run, ended_at, failed, follow, run_of, started
from nanodex_operator.plan.walk import entry_of
from nanodex_operator.snapshot import Action, ObservedJob, Snapshot

_RETRY_SECONDS = 600
_LOST_RETRY_SECONDS = 30
# A Pod's last word may reach the cache after the end of its Job.
_ANSWER_SECONDS = 10
# "0s" would ask without a pause.
_SHORTEST_INTERVAL = 30
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class References:
    """What the references mean and what is done to know it.

    Attributes:
        source: the commit, which spec it answers to and the number of the last look.
        base_model: the pinned revision.
        entry: the entry of the task resolve.
        run: the look that is under way or was the last.
        actions: what is to be done with its Jobs.
        missing: its Job is not there and may be created.
        again_after: seconds until the next look or retry is due; None: no time will bring it.
    """

    source: SourceStatus
    base_model: BaseModelStatus
    entry: StageStatus
    run: Run
    actions: tuple[Action, ...] = ()
    missing: bool = False
    again_after: float | None = None


def references_key(expert: CodeExpert) -> str:
    """Return the hash of all that a look reads of the spec."""
    git, model = expert.spec.source.git, expert.spec.base_model
    return _hash(
        {
            "url": git.url,
            "ref": git.ref.model_dump(mode="json", by_alias=True),
            "secretRef": git.secret_ref.name if git.secret_ref else "",
            "baseModel": model.model_dump(mode="json", by_alias=True),
        }
    )


def base_model_key(expert: CodeExpert) -> str:
    """Return the hash of the reference to the base model, without its credentials."""
    model = expert.spec.base_model
    return _hash({"uri": model.uri, "revision": model.revision})


def look_key(references: str, *, number: int) -> str:
    """Return the key of a look, `number` counts the looks of one CodeExpert."""
    return _hash({"references": references, "look": number})


def answered(status: CodeExpertStatus, expert: CodeExpert) -> bool:
    """Tell whether the commit in `status` is an answer to the present spec."""
    return status.source.commit != "" and status.source.spec_key == references_key(expert)


def look(snapshot: Snapshot) -> References:
    """Return what the references mean by now, and the look that is due or under way."""
    status, expert = snapshot.status, snapshot.expert
    references = references_key(expert)
    source = _taken_up(snapshot)
    before = entry_of(status, Task.RESOLVE)
    key = look_key(references, number=source.look)
    if before is not None and before.key == key:
        if before.state not in (StageState.SUCCEEDED, StageState.FAILED):
            return _under_way(snapshot, run_of(snapshot, Task.RESOLVE, key=key), source)
        wait = _wait(snapshot, before)
        # A poll is something new; while suspended nothing new is started.
        held = expert.spec.suspend and answered(status, expert)
        if held or wait is None or wait > 0:
            return References(
                source=source,
                base_model=status.base_model,
                entry=before,
                run=run_of(snapshot, Task.RESOLVE, key=key),
                again_after=None if held else wait,
            )
    source = source.model_copy(update={"look": source.look + 1})
    key = look_key(references, number=source.look)
    return _under_way(snapshot, run_of(snapshot, Task.RESOLVE, key=key), source)


def _under_way(snapshot: Snapshot, run: Run, source: SourceStatus) -> References:
    followed = follow(snapshot, run)
    if followed.complete is not None:
        return _answer(snapshot, followed, followed.complete, source)
    return _unanswered(snapshot, followed, source)


def _unanswered(snapshot: Snapshot, followed: Followed, source: SourceStatus) -> References:
    entry, again_after = followed.entry, followed.again_after
    if entry.state is StageState.FAILED:
        again_after = _wait(snapshot, entry)
    return References(
        source=source,
        base_model=snapshot.status.base_model,
        entry=entry,
        run=followed.run,
        actions=followed.actions,
        missing=followed.missing,
        again_after=again_after,
    )


def _answer(
    snapshot: Snapshot, followed: Followed, job: ObservedJob, source: SourceStatus
) -> References:
    run, entry = followed.run, followed.entry
    ended = ended_at(job, now=snapshot.now)
    word = _last_word(job)
    if word is None:
        if abs((snapshot.now - ended).total_seconds()) < _ANSWER_SECONDS and job.finished_at:
            again = Followed(run, entry, again_after=_ANSWER_SECONDS / 2)
            return _unanswered(snapshot, again, source)
        lost = failure(Reason.ANSWER_LOST, f"{job.name} ended without an answer that can be read")
        entry = failed(snapshot, run, None, lost, job=job)
        # The wait begins now: its end may be long ago.
        entry = entry.model_copy(update={"finished_at": snapshot.now.replace(microsecond=0)})
        return _unanswered(snapshot, Followed(run, entry), source)
    commit = str(word.metrics.get("commit", ""))
    revision = str(word.metrics.get("baseModelRevision", ""))
    if not _COMMIT.fullmatch(commit) or not 0 < len(revision) <= 256:
        wrong = failure(
            Reason.INTERNAL_ERROR, "resolve answered without a commit or a base model revision"
        )
        entry = failed(snapshot, run, None, wrong, job=job)
        return _unanswered(snapshot, Followed(run, entry), source)
    entry = entry.model_copy(
        update={"state": StageState.SUCCEEDED, "finished_at": ended, "failure": None}
    )
    source = _with_answer(snapshot, source, commit=commit, observed_at=ended)
    return References(
        source=source,
        base_model=_pinned_revision(snapshot, revision),
        entry=entry,
        run=run,
        again_after=_until(snapshot, ended, _interval(snapshot)),
    )


def _with_answer(
    snapshot: Snapshot, source: SourceStatus, *, commit: str, observed_at: datetime
) -> SourceStatus:
    deferred = answered(snapshot.status, snapshot.expert) and _costly(snapshot.status)
    return source.model_copy(
        update={
            "commit": source.commit if deferred else commit,
            "latest_commit": commit,
            "observed_at": observed_at,
            "spec_key": references_key(snapshot.expert),
        }
    )


def _taken_up(snapshot: Snapshot) -> SourceStatus:
    """Return the source with the newest commit, unless what learns the one before is costly."""
    source = snapshot.status.source
    newer = source.latest_commit not in ("", source.commit)
    if newer and answered(snapshot.status, snapshot.expert) and not _costly(snapshot.status):
        return source.model_copy(update={"commit": source.latest_commit})
    return source


def _costly(status: CodeExpertStatus) -> bool:
    """Tell whether training is under way, or done and not judged yet.

    A repository that changes more often than training takes would otherwise never get an expert.
    """
    train, evaluate = entry_of(status, Task.TRAIN), entry_of(status, Task.EVALUATE)
    if train is None or evaluate is None:
        return False
    judged = evaluate.state in (StageState.SUCCEEDED, StageState.CACHED, StageState.FAILED)
    return started(train) or (train.artifact is not None and not judged)


def _pinned_revision(snapshot: Snapshot, revision: str) -> BaseModelStatus:
    """Return the revision that was pinned for the same reference, else the one found now."""
    pinned = snapshot.status.base_model
    key = base_model_key(snapshot.expert)
    if pinned.revision and pinned.spec_key == key:
        return pinned
    return BaseModelStatus(revision=revision, spec_key=key)


def _last_word(job: ObservedJob) -> TerminationMessage | None:
    for pod in reversed(job.pods):
        word = pod.last_word
        if word is not None and word.exit_code is ExitCode.DONE and word.stage is Task.RESOLVE:
            return word
    return None


def _wait(snapshot: Snapshot, entry: StageStatus) -> float | None:
    """Return the seconds until `entry`, a look that has ended, is followed by another one."""
    if entry.state is StageState.SUCCEEDED:
        return _until(snapshot, snapshot.status.source.observed_at, _interval(snapshot))
    if entry.retry_nonce != snapshot.expert.spec.retry_nonce:
        return 0
    interval, cause = _interval(snapshot), entry.failure
    if cause is not None and cause.reason == Reason.ANSWER_LOST:
        delay: float | None = _LOST_RETRY_SECONDS
    elif interval is not None and answered(snapshot.status, snapshot.expert):
        delay = interval
    elif cause is None or may_pass(cause):
        delay = min(interval or _RETRY_SECONDS, _RETRY_SECONDS)
    else:
        delay = interval
    return _until(snapshot, entry.finished_at, delay)


def _until(snapshot: Snapshot, start: datetime | None, delay: float | None) -> float | None:
    if delay is None:
        return None
    # A clock that was set back must not stretch the wait without end.
    passed = abs((snapshot.now - start).total_seconds()) if start is not None else delay
    return max(0.0, delay - passed)


def _interval(snapshot: Snapshot) -> float | None:
    interval = snapshot.expert.spec.source.git.interval
    return max(_SHORTEST_INTERVAL, duration_seconds(interval)) if interval else None


def _hash(value: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
