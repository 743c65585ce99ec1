"""Runs stages: finds the key, looks for the artifact, fetches inputs, publishes, exits.

with stop_on_signals() as stop:
    report = run_expert(expert, store=open_store("artifacts"), cache=cache, stop=stop)
report.require_passed()
"""

from nanodex.pipeline.local import RunReport, find_upstream, pin, run_expert, run_one
from nanodex.pipeline.progress import StageProgress, as_lines, hidden, on_terminal, shown
from nanodex.pipeline.runner import StageResult, run_stage
from nanodex.pipeline.signals import StopFlag, stop_on_signals
from nanodex.pipeline.termination import finish, finish_resolve
from nanodex.pipeline.workspace import Workspace

__all__ = [
    "RunReport",
    "StageProgress",
    "StageResult",
    "StopFlag",
    "Workspace",
    "as_lines",
    "find_upstream",
    "finish",
    "finish_resolve",
    "hidden",
    "on_terminal",
    "pin",
    "run_expert",
    "run_one",
    "run_stage",
    "shown",
    "stop_on_signals",
]
