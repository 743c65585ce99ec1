"""What the status says to people: conditions, phase, message, events; all of it derived, all pure.

The operator's own memory (which run failed, which adapter is active) is decided in `plan`.
"""

from nanodex_operator.status.conditions import conditions
from nanodex_operator.status.events import events
from nanodex_operator.status.facts import Facts
from nanodex_operator.status.problems import with_problem
from nanodex_operator.status.words import columns, summary

__all__ = ["Facts", "columns", "conditions", "events", "summary", "with_problem"]
