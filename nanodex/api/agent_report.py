"""What an agent says of its engine and of each adapter: GET /status, and status.json."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from nanodex.api.base import Contract
from nanodex.api.reasons import Reason


class AdapterState(StrEnum):
    """Where one version of an expert is on its way into the engine."""

    PENDING = "pending"
    LOADED = "loaded"
    # Proved by this agent and unloaded to make room; the next request brings it back.
    STANDBY = "standby"
    QUARANTINED = "quarantined"


class EngineState(StrEnum):
    """Whether requests can be answered."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Report(Contract):
    """Something that is read by a program of another version: unknown fields are passed over."""

    model_config = ConfigDict(extra="ignore")


class ParityResult(Report):
    """What the comparison said; distances are mean absolute differences over tokens, in nats."""

    accepted: bool
    difference: float
    base_distance: float
    limit: float
    tokens: int
    message: str


class AdapterReport(Report):
    """What the agent reports of one version of an expert."""

    name: str = Field(description="Public name, <namespace>/<name>.")
    digest: str
    state: AdapterState
    active: bool | None = Field(
        default=None,
        description="Whether the bare name means this version; None: an agent of an earlier "
        "version, which does not say.",
    )
    reason: Reason | None = None
    message: str = ""
    parity: ParityResult | None = None


class AgentReport(Report):
    """What is served, for operators and for the command line."""

    generation: int = Field(description="Generation of the desired set that was last looked at.")
    content_hash: str = Field(default="", description="Hash of that set.")
    engine: EngineState
    restarts: int = 0
    message: str = ""
    base_model: str = Field(default="", description="Address of what the engine serves.")
    base_model_revision: str = Field(default="", description="Which one that is.")
    adapters: tuple[AdapterReport, ...] = ()
