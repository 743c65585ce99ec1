"""What must hold at all times: the world asserts it on every write."""

from collections.abc import Iterable, Mapping

from nanodex_operator.snapshot import CreateJob, ObservedJob

from nanodex.api.reasons import ConditionReason
from nanodex.api.stages import Task
from nanodex.api.status import CodeExpertStatus, ConditionType, StageState
from tests.unit.operator.plan.jobs import AT_WORK
from tests.unit.operator.plan.servers import Server

ABNORMAL = (
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.SOURCE_OUTDATED,
    ConditionType.SUSPENDED,
)


def check_takeover(
    before: CodeExpertStatus,
    after: CodeExpertStatus,
    *,
    serving: bool,
    servers: Mapping[str, Server],
) -> None:
    """The active adapter gives way only to one that every ready replica holds."""
    if before.active is None:
        return
    assert after.active is not None
    if serving and after.active.digest != before.active.digest:
        server = servers[after.serving.server]
        assert server.holds_everywhere(after.active.digest)


def check_readiness(status: CodeExpertStatus, *, servers: Mapping[str, Server]) -> None:
    """It says that a model answers only where a ready replica answers to its name."""
    ready = next((one for one in status.conditions if one.type is ConditionType.READY), None)
    if ready is None or ready.reason != ConditionReason.SERVING:
        return
    server = servers[status.serving.server]
    agents = server.agents[: server.ready]
    # Where no agent answers the operator, what was known last stays.
    assert not agents or any(agent.answers for agent in agents)


def check_conditions(before: CodeExpertStatus, after: CodeExpertStatus) -> None:
    """Times of transition change with the status alone; what is abnormal is there or not."""
    old = {condition.type: condition for condition in before.conditions}
    for condition in after.conditions:
        assert condition.observed_generation == after.observed_generation
        assert condition.type not in ABNORMAL or condition.status == "True"
        was = old.get(condition.type)
        if was is not None and was.status == condition.status:
            assert was.last_transition_time == condition.last_transition_time


def check_versions(status: CodeExpertStatus) -> None:
    """No adapter is listed twice."""
    digests = [one.digest for one in (status.active, *status.history) if one is not None]
    assert len(set(digests)) == len(digests)


def check_work(jobs: Iterable[ObservedJob]) -> None:
    """No stage is worked on twice at once."""
    working = [job.task for job in jobs if job.outcome in AT_WORK]
    assert len(set(working)) == len(working), "one Job at work for each stage"


class Failures:
    """What failed for good is not created again while its key and nonce stay."""

    def __init__(self) -> None:
        # The key and nonce of each.
        self._failed: dict[Task, tuple[str, str]] = {}

    def note(self, status: CodeExpertStatus) -> None:
        """Keep what failed until the stage has another key, whatever the status forgets."""
        for entry in status.stages:
            if entry.state is StageState.FAILED:
                self._failed[entry.name] = (entry.key, entry.retry_nonce)
            elif entry.key and entry.key != self._failed.get(entry.name, ("", ""))[0]:
                self._failed.pop(entry.name, None)

    def check(self, action: CreateJob) -> None:
        assert self._failed.get(action.task) != (action.key, action.manifest["retryNonce"])
