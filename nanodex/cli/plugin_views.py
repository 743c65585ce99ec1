"""How `kubectl nanodex status` shows experts to people."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from nanodex.api.status import AdapterStatus, StageStatus
from nanodex.cli.output import console
from nanodex.kubectl import Expert

_COLUMNS = ("expert", "phase", "stage", "progress", "adapter", "loaded", "message")


def print_experts(experts: Sequence[Expert]) -> None:
    """Print one line for each expert."""
    if not experts:
        console.print("no experts; --all-namespaces shows those of other namespaces")
        return
    table = _table(*_COLUMNS)
    for expert in experts:
        status = expert.status
        table.add_row(
            *(
                escape(text)
                for text in (
                    expert.model,
                    status.phase,
                    status.stage,
                    status.progress,
                    _short(status.active),
                    status.serving.loaded,
                    status.message,
                )
            )
        )
    console.print(table)


def print_expert(expert: Expert) -> None:
    """Print everything that a person may want to know of one expert."""
    status = expert.status
    console.print(
        f"[bold]{escape(expert.model)}[/] {escape(status.phase)}  {escape(status.message)}"
    )
    if status.serving.url:
        loaded = f", on {status.serving.loaded} replicas" if status.serving.loaded else ""
        console.print(
            f"model {escape(status.serving.model)} at {escape(status.serving.url)}{loaded}"
        )
    if status.stages:
        table = _table("stage", "state", "attempts", "what")
        for entry in status.stages:
            attempts = str(entry.attempts) if entry.attempts else ""
            table.add_row(entry.name, entry.state, attempts, escape(_said(entry)))
        console.print(table)
    versions = [
        ("active", status.active),
        ("candidate", status.candidate),
        *(("earlier", one) for one in status.history),
    ]
    if any(one is not None for _, one in versions):
        table = _table("version", "digest", "commit", "score", "in service since")
        for name, adapter in versions:
            if adapter is not None:
                since = f"{adapter.promoted_at:%Y-%m-%d %H:%M} UTC" if adapter.promoted_at else ""
                row = (name, _short(adapter), adapter.commit[:12], adapter.score, since)
                table.add_row(*(escape(text) for text in row))
        console.print(table)
    if expert.spec.serving.pin:
        console.print(f"held by serving.pin: {escape(expert.spec.serving.pin)}")


def _said(entry: StageStatus) -> str:
    if entry.failure is not None:
        failure = entry.failure
        return ". ".join(
            part.rstrip(".") for part in (failure.reason, failure.message, failure.hint) if part
        )
    if entry.progress is not None:
        return f"{entry.progress.percent} % {entry.progress.message}".strip()
    return ", ".join(f"{name} {value}" for name, value in list(entry.metrics.items())[:4])


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _short(adapter: AdapterStatus | None) -> str:
    return adapter.digest.removeprefix("sha256:")[:12] if adapter else ""
