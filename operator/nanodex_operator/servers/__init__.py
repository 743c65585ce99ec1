"""What one reconcile does for a ModelServer: `plan_server(ServerSnapshot) -> ServerPlan`, pure.

>>> decided = plan_server(snapshot)
>>> decided.children, decided.status, decided.again_after_seconds
"""

from nanodex_operator.servers.desired_set import Chosen, choose, number
from nanodex_operator.servers.planner import plan_server
from nanodex_operator.servers.reports import read_report
from nanodex_operator.servers.snapshot import (
    BoundExpert,
    ObservedDeployment,
    PublishedSet,
    ServerPlan,
    ServerSnapshot,
)

__all__ = [
    "BoundExpert",
    "Chosen",
    "ObservedDeployment",
    "PublishedSet",
    "ServerPlan",
    "ServerSnapshot",
    "choose",
    "number",
    "plan_server",
    "read_report",
]
