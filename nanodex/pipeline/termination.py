"""The last word of a stage: one line in the log, an exit code, a message for Kubernetes."""

import logging
from collections.abc import Callable
from pathlib import Path

from nanodex.api.identity import Pinned
from nanodex.api.manifest import TerminationMessage
from nanodex.api.reasons import ExitCode
from nanodex.api.stages import StageName, Task
from nanodex.errors import NanodexError
from nanodex.pipeline.figures import figures_of
from nanodex.pipeline.runner import StageResult

_log = logging.getLogger(__name__)


def finish(
    stage: StageName, work: Callable[[], StageResult], *, message_path: Path | None = None
) -> TerminationMessage:
    """Call `work` and say how it ended; nothing but KeyboardInterrupt and SystemExit escapes.

    Args:
        stage: the stage that `work` runs.
        work: returns the result or raises.
        message_path: file for the message as JSON, in a Pod /dev/termination-log.
    """
    return _finish(Task(stage), lambda: _of_result(work()), message_path=message_path)


def finish_resolve(
    work: Callable[[], Pinned], *, message_path: Path | None = None
) -> TerminationMessage:
    """Do the same for `work` that asks what references mean; metrics hold the answer."""
    return _finish(Task.RESOLVE, lambda: _of_pinned(work()), message_path=message_path)


def _finish(
    task: Task, work: Callable[[], TerminationMessage], *, message_path: Path | None
) -> TerminationMessage:
    try:
        message = work()
    except NanodexError as error:
        message = _of_error(task, error)
    except Exception as error:
        _log.exception("%s failed; this is a bug of nanodex", task)
        message = TerminationMessage(
            stage=task,
            exit_code=ExitCode.BUG,
            message=f"{type(error).__name__}: {error}"[:1024],
            hint="Please report it with the log above.",
        )
    if message_path is not None:
        try:
            message_path.write_bytes(message.encode())
        except OSError as error:
            _log.warning("cannot write %s: %s", message_path, error.strerror)
    return message


def _of_result(result: StageResult) -> TerminationMessage:
    return TerminationMessage(
        stage=Task(result.stage),
        exit_code=ExitCode.DONE,
        digest=result.digest,
        key=result.manifest.key,
        cached=result.cached,
        metrics=figures_of(result.manifest.metrics),
    )


def _of_pinned(pinned: Pinned) -> TerminationMessage:
    return TerminationMessage(
        stage=Task.RESOLVE,
        exit_code=ExitCode.DONE,
        metrics={"commit": pinned.commit, "baseModelRevision": pinned.base_model_revision},
    )


def _of_error(task: Task, error: NanodexError) -> TerminationMessage:
    return TerminationMessage(
        stage=task,
        exit_code=error.exit_code,
        reason=error.reason,
        message=error.message[:1024],
        hint=error.hint[:512],
    )
