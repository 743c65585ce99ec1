"""What a stage asks of a node unless the CodeExpert says otherwise.

| task | CPU | memory | bound by |
|---|---|---|---|
| resolve | 50m | 256Mi | one answer of a git server and of a hub |
| extract | 500m | 2Gi | two parser processes, and the graph |
| brain | 500m | 2Gi | the graph's adjacency |
| dataset | 500m | 4Gi | all facts and examples at once |
| train, evaluate | 2 | 8Gi | the embedded base model in fp32; a real one needs `training.pod` |

Memory is request and limit alike: a stage that grows is killed with a reason that has a hint, and
not its neighbours. CPU has no limit: an idle core is of use, and half of one
lets a stage of seconds find room on a small node beside an engine.

So two Pods of torch may want the same cores. Threads of OpenMP wait for each other by spinning, on
a core that another Pod could use; here they give up after 2,000 rounds. Where a user does limit the
CPU there are no more threads than that: OpenMP itself would start one for each core of the node.
docs/operate.md has what both give and cost.
"""

from collections.abc import Mapping
from typing import Any

from nanodex.api.stages import Task

# More of them need more memory; extract.workers says so.
PARSER_PROCESSES = 2

_DEFAULTS: dict[Task, tuple[str, str]] = {
    Task.RESOLVE: ("50m", "256Mi"),
    Task.EXTRACT: ("500m", "2Gi"),
    Task.BRAIN: ("500m", "2Gi"),
    Task.DATASET: ("500m", "4Gi"),
    Task.TRAIN: ("2", "8Gi"),
    Task.EVALUATE: ("2", "8Gi"),
}


def resources_of(task: Task, *, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources of a container.

    Args:
        task: what it does.
        wanted: `resources` as the user wrote them; a resource that is named there, in requests or
            in limits, has no default: a default limit below a wanted request would be refused.
    """
    cpu, memory = _DEFAULTS[task]
    requests, limits = {"cpu": cpu, "memory": memory}, {"memory": memory}
    named = set(wanted.get("requests") or {}) | set(wanted.get("limits") or {})
    merged = {
        "requests": {name: value for name, value in requests.items() if name not in named}
        | dict(wanted.get("requests") or {}),
        "limits": {name: value for name, value in limits.items() if name not in named}
        | dict(wanted.get("limits") or {}),
    }
    rest = {name: value for name, value in wanted.items() if name not in merged}
    return {name: value for name, value in merged.items() if value} | rest


def wants_gpu(wanted: Mapping[str, Any]) -> bool:
    """Return whether `resources` name an NVIDIA device, whole or a slice of one."""
    limits, requests = wanted.get("limits") or {}, wanted.get("requests") or {}
    return any(name.startswith("nvidia.com/") for name in (*limits, *requests))


def threads_of(wanted: Mapping[str, Any], *, container: str) -> list[dict[str, Any]]:
    """Return how OpenMP behaves in a container that computes on a CPU, as its environment.

    Args:
        wanted: its `resources`.
        container: its name.
    """
    entries: list[dict[str, Any]] = [{"name": "GOMP_SPINCOUNT", "value": "2000"}]
    if "cpu" in (wanted.get("limits") or {}):
        # Rounded up to whole cores by the kubelet.
        limit = {"containerName": container, "resource": "limits.cpu", "divisor": "1"}
        entries.append({"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": limit}})
    return entries
