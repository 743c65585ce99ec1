"""What conditions and words need beside the status itself."""

from dataclasses import dataclass
from datetime import datetime

from nanodex.api.status import Failure, StageStatus


@dataclass(frozen=True)
class Facts:
    """The outcome of planning, as far as the status does not hold it.

    Attributes:
        now: the clock of this reconcile.
        generation: metadata.generation that was planned for.
        ref: what the source's ref is called, for instance `branch main`.
        suspended: spec.suspend.
        answered: the commit is an answer to the present spec.
        under_way: entry of the task that is next or at work; None where all is done.
        stalled: why nothing gets on without somebody's help; None otherwise.
        unserved: why the wanted adapter does not get into service; None otherwise.
        serving_enabled: spec.serving.enabled.
        loading: digest that the server is expected to load; empty for none.
        held_by: ready replicas that hold the active adapter and answer to the name.
        ready: ready replicas of its server.
    """

    now: datetime
    generation: int
    ref: str
    suspended: bool
    answered: bool
    under_way: StageStatus | None
    stalled: Failure | None
    unserved: Failure | None
    serving_enabled: bool
    loading: str
    held_by: int
    ready: int
