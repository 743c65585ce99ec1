"""What one reconcile does for a CodeExpert: `plan(Snapshot) -> Plan`, pure.

>>> decided = plan(snapshot)
>>> decided.actions, decided.status, decided.again_after_seconds
"""

from nanodex_operator.plan.planner import JobBuilder, plan
from nanodex_operator.plan.references import answered
from nanodex_operator.plan.serving import DesiredAdapters, desired_adapters
from nanodex_operator.plan.walk import Walk, job_name, pins_of, remembered, walk

__all__ = [
    "DesiredAdapters",
    "JobBuilder",
    "Walk",
    "answered",
    "desired_adapters",
    "job_name",
    "pins_of",
    "plan",
    "remembered",
    "walk",
]
