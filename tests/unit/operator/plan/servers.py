"""A ModelServer and its agents, which take a set when a test lets them."""

from typing import Any, NamedTuple

from nanodex_operator.plan import DesiredAdapters
from nanodex_operator.snapshot import ObservedServer, ReplicaReport

from nanodex.api.model_server import ModelServer
from nanodex.api.status import ModelServerStatus

BASE = "hf://Qwen/Qwen2.5-Coder-7B-Instruct"
OTHER_BASE = "hf://Qwen/Qwen2.5-Coder-14B-Instruct"


class Agent(NamedTuple):
    """What one agent has converged to."""

    generation: int = 0
    loaded: frozenset[str] = frozenset()
    # The digest that the name means; empty: it means nothing here.
    alias: str = ""

    @property
    def answers(self) -> bool:
        """Whether requests for the name are answered."""
        return self.alias in self.loaded


class Server:
    """A ModelServer with its agents."""

    def __init__(self, name: str, **spec: Any) -> None:
        self.resource = ModelServer.model_validate(
            {
                "metadata": {"name": name},
                "spec": {"baseModel": {"uri": BASE}} | spec,
            }
        )
        self.name = name
        self.admits = True
        self.others: frozenset[str] = frozenset()
        self.ready = 1
        self.generation = 1
        self.desired = DesiredAdapters()
        self.refuses: dict[str, tuple[str, str]] = {}
        self.agents: list[Agent] = []
        # Agents of an earlier version do not.
        self.tells_names = True

    def take(self, desired: DesiredAdapters) -> None:
        if desired != self.desired:
            self.desired, self.generation = desired, self.generation + 1

    def sync(self, replica: int | None = None) -> None:
        """Let agents converge: all, or one of them."""
        loaded = frozenset(set(self.desired.digests) - set(self.refuses))
        state = Agent(self.generation, loaded, self.desired.alias)
        self.agents = [*self.agents, *[Agent()] * self.ready][: self.ready]
        for number in range(self.ready):
            if replica is None or replica % self.ready == number:
                self.agents[number] = state

    def holds_everywhere(self, digest: str) -> bool:
        held = [digest in agent.loaded for agent in self.agents[: self.ready]]
        return self.ready > 0 and len(held) == self.ready and all(held)

    def observed(self, me: str, bound: bool) -> ObservedServer:
        return ObservedServer(
            server=self.resource,
            status=ModelServerStatus(set_generation=self.generation),
            admits=self.admits,
            bound=self.others | ({me} if bound else set()),
            ready_replicas=self.ready,
            replicas=tuple(
                ReplicaReport(
                    pod=f"pod-{number}",
                    set_generation=agent.generation,
                    loaded=agent.loaded,
                    names=frozenset({me} if agent.answers else ()) if self.tells_names else None,
                    refused=self.refuses,
                )
                for number, agent in enumerate(self.agents[: self.ready])
            ),
            url=f"http://{self.name}.nanodex-system.svc/v1",
        )
