"""What the status says when no plan could be made: the spec or the store cannot be read."""

from datetime import datetime

from nanodex.api.status import CodeExpertStatus, Condition, ConditionType, Failure
from nanodex_operator.status.words import advice

# kstatus: an object is stalled or reconciling, never both.
_REPLACED = (ConditionType.STALLED, ConditionType.RECONCILING)


def with_problem(
    status: CodeExpertStatus, problem: Failure, *, phase: str, generation: int, now: datetime
) -> CodeExpertStatus:
    """Return `status` with a Stalled condition that says what is wrong, and all else as it was.

    Args:
        status: as it is; what is served stays served.
        problem: what is wrong and what to do.
        phase: for people.
        generation: metadata.generation that could not be planned for.
        now: time of day.
    """
    before = {condition.type: condition for condition in status.conditions}
    old = before.get(ConditionType.STALLED)
    stalled = Condition(
        type=ConditionType.STALLED,
        status="True",
        reason=problem.reason,
        message=advice(problem),
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old else now.replace(microsecond=0),
    )
    kept = tuple(one for one in status.conditions if one.type not in _REPLACED)
    if ConditionType.READY not in before:
        # What was never planned for is not ready; what is served stays so.
        ready = stalled.model_copy(update={"type": ConditionType.READY, "status": "False"})
        kept = (ready, *kept)
    return status.model_copy(
        update={
            "observed_generation": max(generation, status.observed_generation),
            "phase": phase,
            "message": advice(problem),
            "conditions": (*kept, stalled),
        }
    )
