"""Phase, stage, progress and message: for people, derived from the rest, never read back."""

from dataclasses import dataclass

from nanodex.api.durations import duration_text
from nanodex.api.progress import ProgressReport
from nanodex.api.reasons import Reason
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus, Columns, Failure, StageState, StageStatus
from nanodex_operator.status.facts import Facts

PHASES = {
    Task.RESOLVE: "Resolving",
    Task.EXTRACT: "Extracting",
    Task.BRAIN: "Summarizing",
    Task.DATASET: "Generating",
    Task.TRAIN: "Training",
    Task.EVALUATE: "Evaluating",
}
# What goes on by itself when something outside changes.
_WAITS_FOR_OTHERS = frozenset(
    {
        Reason.IMAGE_PULL_ERROR,
        Reason.JOB_REFUSED,
        Reason.NO_SERVER,
        Reason.RANK_TOO_HIGH,
        Reason.SERVER_AT_CAPACITY,
        Reason.UNSCHEDULABLE,
    }
)
_LONGEST = 1024


@dataclass(frozen=True)
class Summary:
    """The columns of `kubectl get`."""

    phase: str
    stage: str = ""
    progress: str = ""
    message: str = ""


def summary(status: CodeExpertStatus, facts: Facts) -> Summary:
    """Return phase, stage, progress and message of `status`."""
    under_way = facts.under_way
    stage = under_way.name.value if under_way is not None else ""
    if facts.suspended:
        return Summary("Suspended", stage, message="spec.suspend is true; nothing is started")
    if facts.stalled is not None:
        failed = under_way is not None and under_way.state is StageState.FAILED
        waits = facts.stalled.reason in _WAITS_FOR_OTHERS and not failed
        return Summary("Waiting" if waits else "Failed", stage, message=advice(facts.stalled))
    if under_way is not None:
        percent = under_way.progress
        return Summary(
            PHASES[under_way.name],
            stage,
            progress=f"{percent.percent}%" if percent is not None else "",
            message=_said_of_stage(under_way),
        )
    return _of_service(status, facts)


def columns(status: CodeExpertStatus, *, base_model: str) -> Columns:
    """Return what `kubectl get` shows in the place of addresses and hashes."""
    active = status.active.digest if status.active is not None else ""
    return Columns(
        base=base_model.rstrip("/").rsplit("/", 1)[-1][:256],
        commit=short(status.source.commit),
        adapter=short(active),
    )


def advice(failure: Failure) -> str:
    """Return what happened and what to do, in at most 1024 characters."""
    return " ".join(part for part in (_sentence(failure.message), failure.hint) if part)[:_LONGEST]


def said_of(report: ProgressReport) -> str:
    """Return a progress report as people say it: `epoch 2/3, step 120/480`."""
    unit = report.unit.removesuffix("s")
    count = f"{unit} {report.done}/{report.total}" if report.total else f"{report.done} {unit}s"
    return ", ".join(part for part in (report.message, count if unit else "") if part)[:_LONGEST]


def short(digest: str) -> str:
    """Return the first 12 hexadecimal digits of a digest or a commit."""
    return digest.removeprefix("sha256:")[:12]


def _of_service(status: CodeExpertStatus, facts: Facts) -> Summary:
    if facts.loading:
        return Summary("Loading", message=f"the server loads {short(facts.loading)}")
    if status.active is None and status.candidate is not None:
        return Summary(
            "Pending",
            message=f"{short(status.candidate.digest)} passed and waits for promotion: set "
            f"serving.pin to {status.candidate.digest}",
        )
    if status.active is None:
        return Summary("Pending")
    if not facts.serving_enabled:
        return Summary("Ready", message=f"{short(status.active.digest)} is published")
    if facts.held_by == 0:
        return Summary("Loading", message="no ready replica answers to the name yet")
    return Summary("Ready", message=f"model {status.serving.model} answers")


def _said_of_stage(entry: StageStatus) -> str:
    if entry.state is StageState.WAITING:
        return f"{entry.name} is about to start"
    if entry.state is StageState.QUEUED:
        return f"{entry.name} waits for its Pod"
    if entry.progress is None:
        return f"{entry.name} runs"
    parts = [entry.progress.message, f"{entry.progress.percent} %"]
    if entry.progress.eta_seconds is not None:
        parts.append(f"about {duration_text(entry.progress.eta_seconds)} left")
    return ", ".join(part for part in parts if part)[:_LONGEST]


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
