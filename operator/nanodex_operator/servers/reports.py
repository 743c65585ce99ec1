"""What an agent says of itself, as the plans read it."""

from pydantic import ValidationError

from nanodex.api.agent_report import AdapterState, AgentReport
from nanodex.api.reasons import Reason
from nanodex_operator.snapshot import ReplicaReport

# Proved by the agent: in the engine, or one request away from it.
_PROVED = frozenset({AdapterState.LOADED, AdapterState.STANDBY})


def read_report(pod: str, body: bytes) -> ReplicaReport:
    """Return what the agent of `pod` answered to GET /status.

    Raises:
        ValueError: it is no report that this version understands.
    """
    try:
        report = AgentReport.model_validate_json(body)
    except ValidationError as error:
        raise ValueError(f"the agent of {pod} sent no report: {error.error_count()} errors") from (
            error
        )
    # Two experts may have the same bytes; each has to be proved under its own name.
    absent = {one.digest for one in report.adapters if one.state not in _PROVED}
    return ReplicaReport(
        pod=pod,
        set_generation=report.generation,
        loaded=frozenset(one.digest for one in report.adapters) - absent,
        names=_names(report),
        refused={
            one.digest: (one.reason or Reason.LOAD_REJECTED, one.message)
            for one in report.adapters
            if one.state is AdapterState.QUARANTINED
        },
        base_model=report.base_model,
        base_model_revision=report.base_model_revision,
    )


def _names(report: AgentReport) -> frozenset[str] | None:
    if any(one.active is None for one in report.adapters):
        return None
    return frozenset(one.name for one in report.adapters if one.active and one.state in _PROVED)
