"""A ModelServer and its agents, which take a set when a test lets them."""

from typing import Any

from nanodex_operator.snapshot import ObservedServer, ReplicaReport

from nanodex.api.model_server import ModelServer
from nanodex.api.status import ModelServerStatus

BASE = "hf://Qwen/Qwen2.5-Coder-7B-Instruct"
OTHER_BASE = "hf://Qwen/Qwen2.5-Coder-14B-Instruct"


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
        self.desired: tuple[str, ...] = ()
        self.refuses: dict[str, tuple[str, str]] = {}
        self.agents: list[tuple[int, frozenset[str]]] = []

    def take(self, desired: tuple[str, ...]) -> None:
        if desired != self.desired:
            self.desired, self.generation = desired, self.generation + 1

    def sync(self, replica: int | None = None) -> None:
        """Let agents converge: all, or one of them."""
        state = (self.generation, frozenset(set(self.desired) - set(self.refuses)))
        empty = (0, frozenset[str]())
        self.agents = [*self.agents, *[empty] * self.ready][: self.ready]
        for number in range(self.ready):
            if replica is None or replica % self.ready == number:
                self.agents[number] = state

    def holds_everywhere(self, digest: str) -> bool:
        held = [digest in loaded for _, loaded in self.agents[: self.ready]]
        return self.ready > 0 and len(held) == self.ready and all(held)

    def observed(self, me: str, bound: bool) -> ObservedServer:
        return ObservedServer(
            server=self.resource,
            status=ModelServerStatus(set_generation=self.generation),
            admits=self.admits,
            bound=self.others | ({me} if bound else set()),
            ready_replicas=self.ready,
            replicas=tuple(
                ReplicaReport(f"pod-{number}", generation, loaded, self.refuses)
                for number, (generation, loaded) in enumerate(self.agents[: self.ready])
            ),
            url=f"http://{self.name}.nanodex-system.svc/v1",
        )
