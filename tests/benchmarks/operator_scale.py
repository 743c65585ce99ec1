"""What many CodeExperts cost the operator and the API server: a real control plane, played nodes.

    python -m tests.benchmarks.operator_scale --experts 1000

Six of ten are ready, two of ten are training, two of ten have failed. Experts of a namespace share
a repository: after the first one their early stages are cached, as in a team with one of them.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from hack.kind.build import built
from tests.controlplane.api import Connection, add_definitions, eventually, path
from tests.controlplane.node import EXPERT_LABEL, Node
from tests.controlplane.operator.world import EXPERTS, JOBS, build_expert
from tests.controlplane.operator_process import ROOT, OperatorProcess
from tests.controlplane.outcome import Outcome
from tests.controlplane.plane import SERVERS, ControlPlane
from tests.controlplane.release import rendered
from tests.controlplane.stage_work import StageWork
from tests.helm import Helm
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

_PER_NAMESPACE = 100
_APPLIED_AT_ONCE = 4
_SINGLE = 20
_KINDS = ("ready",) * 6 + ("training",) * 2 + ("failed",) * 2
_PHASES = {"ready": "Ready", "training": "Training", "failed": "Failed"}
_LONG = 24 * 3600.0
_LOOK_SECONDS = 0.5


class Bench:
    """A control plane with an operator for all namespaces.

    Args:
        folder: where everything is kept.
        stack: ends what was begun.
    """

    def __init__(self, folder: Path, *, stack: contextlib.ExitStack) -> None:
        binaries = built([*SERVERS, "helm"], tell=tell)
        self.plane = ControlPlane(folder / "plane", binaries=binaries)
        stack.callback(self.plane.stop)
        self.plane.start()
        self.api = self.plane.api
        s3 = S3Server(folder / "s3")
        stack.callback(s3.stop)
        s3.start()
        keys = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        os.environ.update(keys)
        crds = (yaml.safe_load(file.read_text()) for file in (ROOT / "crds").glob("*.yaml"))
        add_definitions(self.api, *crds)
        store = f"s3://{BUCKET}/bench"
        system = self.plane.create_namespace("system")
        release = rendered(
            Helm(binaries["helm"], folder=folder),
            namespace=system,
            watched=[],
            store=store,
            endpoint=s3.endpoint,
        )
        release.grant(self.api)
        home = folder / "operator"
        home.mkdir()
        self.operator = OperatorProcess(
            home,
            kubeconfig=self.plane.service_account_kubeconfig(release.account, namespace=system),
            settings=keys | release.environment("operator-0"),
            group=self.plane.group,
        )
        stack.callback(self.operator.kill)
        self.node = stack.enter_context(Node(self.plane.kubeconfig, work=StageWork(store=store)))

    def apply(self, name: str, *, namespace: str, kind: str, seed: int) -> float:
        """Apply a CodeExpert; return when that was (monotonic seconds)."""
        if kind == "training":
            self.node.script(Outcome(seconds=_LONG), stage="train", expert=name)
        elif kind == "failed":
            self.node.script(Outcome(exit_code=14), stage="train", expert=name)
        spec: dict[str, Any] = {
            "source": {"git": {"url": f"https://git.example.com/{namespace}/code.git"}}
        }
        if kind != "ready":
            spec["training"] = {"seed": seed}
        asked = time.monotonic()
        self.api.apply(EXPERTS, build_expert(name, **spec), namespace=namespace)
        return asked

    def by_phase(self) -> dict[str, int]:
        """Return how many CodeExperts the operator sees in each phase."""
        prefix = 'nanodex_operator_experts{phase="'
        return {
            name.removeprefix(prefix).rstrip('"}'): int(count)
            for name, count in self.operator.metrics().items()
            if name.startswith(prefix)
        }

    def until_phases(self, wanted: dict[str, int], *, seconds: float) -> None:
        """Return once the operator sees these phases."""
        wait_until(lambda: self.by_phase() == wanted, seconds=seconds, why=self.operator.tail)

    def total(self, prefix: str, *, without: str = "leases") -> float:
        """Return the sum of a counter over its labels."""
        metrics = self.operator.metrics().items()
        return sum(n for name, n in metrics if name.startswith(prefix) and without not in name)


class FirstJobs:
    """When each CodeExpert had its first Job, as a watch sees it (monotonic seconds)."""

    def __init__(self, kubeconfig: Path) -> None:
        self._connection = Connection.from_kubeconfig(kubeconfig)
        self.seen: dict[str, float] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[dict[str, float]]:
        """Watch in a thread."""
        # It ends with the API server.
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        yield self.seen

    def _watch(self) -> None:
        query = {"watch": "true", "labelSelector": EXPERT_LABEL}
        with (
            contextlib.suppress(httpx.TransportError),
            self._connection.client() as http,
            http.stream("GET", path(JOBS), params=query, timeout=None) as answer,
        ):
            for line in answer.iter_lines():
                event = json.loads(line)
                if event["type"] == "ADDED":
                    name = event["object"]["metadata"]["labels"][EXPERT_LABEL]
                    self.seen.setdefault(name, time.monotonic())


def figures(experts: int, *, folder: Path, window: float) -> dict[str, Any]:
    """Return the figures of one run.

    Args:
        experts: how many CodeExperts.
        folder: where everything is kept meanwhile.
        window: seconds over which a steady state is watched.
    """
    with contextlib.ExitStack() as stack:
        tell("control plane")
        bench = Bench(folder, stack=stack)
        bench.operator.start()
        bench.operator.wait_until_leading()
        idle = memory(bench)
        first_jobs = stack.enter_context(FirstJobs(bench.plane.kubeconfig).watched())
        spaces = [
            bench.plane.create_namespace("team") for _ in range(-(-experts // _PER_NAMESPACE))
        ]
        tell(f"one CodeExpert in each of {len(spaces)} namespaces")
        for number, space in enumerate(spaces):
            bench.apply(f"first-{number}", namespace=space, kind="ready", seed=1)
        bench.until_phases({"Ready": len(spaces)}, seconds=600)

        tell(f"{experts} CodeExperts")
        kinds = [_KINDS[number % len(_KINDS)] for number in range(experts)]
        wanted = {_PHASES[kind]: kinds.count(kind) for kind in set(kinds)}
        wanted["Ready"] = wanted.get("Ready", 0) + len(spaces)
        before = bench.total("nanodex_operator_api_requests_total")
        moved = bench.total("nanodex_operator_stage_transitions_total")
        began, cpu = time.monotonic(), cpu_seconds(bench)

        def apply(number: int) -> float:
            return bench.apply(
                f"expert-{number}",
                namespace=spaces[number // _PER_NAMESPACE],
                kind=kinds[number],
                seed=1000 + number,
            )

        with ThreadPoolExecutor(_APPLIED_AT_ONCE) as pool:
            applied = list(pool.map(apply, range(experts)))
        apply_seconds = time.monotonic() - began
        bench.until_phases(wanted, seconds=3600)
        settled = time.monotonic() - began
        cpu = cpu_seconds(bench) - cpu
        asked = bench.total("nanodex_operator_api_requests_total") - before
        transitions = bench.total("nanodex_operator_stage_transitions_total") - moved
        burst = [first_jobs[f"expert-{number}"] - at for number, at in enumerate(applied)]

        tell(f"one at a time, beside {experts}")
        single = []
        for number in range(_SINGLE):
            name = f"single-{number}"
            at = bench.apply(name, namespace=spaces[0], kind="ready", seed=1)
            eventually(lambda name=name: name in first_jobs)
            single.append(first_jobs[name] - at)
        wanted["Ready"] += _SINGLE
        bench.until_phases(wanted, seconds=300)

        tell("steady, some training")
        training = steady(bench, window)
        tell("steady, nothing at work")
        for number, kind in enumerate(kinds):
            if kind == "training":
                space = spaces[number // _PER_NAMESPACE]
                suspended = {"spec": {"suspend": True}}
                bench.api.patch(EXPERTS, f"expert-{number}", suspended, namespace=space)
        wanted["Suspended"] = wanted.pop("Training", 0)
        wanted = {phase: count for phase, count in wanted.items() if count}
        bench.until_phases(wanted, seconds=600)
        time.sleep(15)
        resting = steady(bench, window)

        tell("restart")
        bench.operator.kill()
        restarted = time.monotonic()
        bench.operator.start()
        bench.operator.wait_until_leading()
        leading = time.monotonic() - restarted

        def caught_up() -> bool:
            reconciled = bench.total("nanodex_operator_reconciles_total")
            depth = bench.operator.metrics()["nanodex_operator_queue_depth"]
            return reconciled >= sum(wanted.values()) and depth == 0

        wait_until(caught_up, seconds=600, why=bench.operator.tail)
        return {
            "experts": experts,
            "memoryMegabytesWithoutExperts": idle,
            "applyToFirstJobSeconds": {
                "allAtOnce": quantiles(burst),
                "oneAtATime": quantiles(single),
            },
            "appliesPerSecond": round(experts / apply_seconds, 1),
            "allSettledSeconds": round(settled, 1),
            "cpuSecondsUntilSettled": round(cpu, 1),
            "apiRequestsPerExpert": round(asked / experts, 2),
            "apiRequestsPerTransition": round(asked / transitions, 2),
            "steadyWithTraining": training,
            "steadyAtRest": resting,
            "restartSeconds": {
                "leading": round(leading, 2),
                "caughtUp": round(time.monotonic() - restarted, 2),
            },
            "memoryMegabytesAfterRestart": memory(bench),
        }


def steady(bench: Bench, window: float) -> dict[str, float]:
    """Return what the operator costs while nobody changes anything."""
    asked = bench.total("nanodex_operator_api_requests_total")
    store = bench.total("nanodex_operator_store_requests_total")
    began, cpu = time.monotonic(), cpu_seconds(bench)
    time.sleep(window)
    seconds = time.monotonic() - began
    return {
        "cpuPercentOfACore": round(100 * (cpu_seconds(bench) - cpu) / seconds, 2),
        "memoryMegabytes": memory(bench),
        "apiRequestsPerSecond": round(
            (bench.total("nanodex_operator_api_requests_total") - asked) / seconds, 2
        ),
        "storeRequestsPerSecond": round(
            (bench.total("nanodex_operator_store_requests_total") - store) / seconds, 2
        ),
    }


def wait_until(look: Callable[[], bool], *, seconds: float, why: Callable[[], str]) -> None:
    """Look now and then: each look costs the operator something, too.

    Raises:
        RuntimeError: it was not in time, or the operator ended; with what `why` says.
    """
    deadline = time.monotonic() + seconds
    try:
        while not look():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds:.0f} s:\n{why()}")
            time.sleep(_LOOK_SECONDS)
    except httpx.TransportError as error:
        raise RuntimeError(f"{error}:\n{why()}") from error


def cpu_seconds(bench: Bench) -> float:
    """Return the processor time of the operator so far."""
    times = psutil.Process(bench.operator.pid).cpu_times()
    return float(times.user + times.system)


def memory(bench: Bench) -> float:
    """Return the operator's resident set in 10^6 bytes."""
    return round(psutil.Process(bench.operator.pid).memory_info().rss / 1e6, 1)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(cuts[9], 3), "p95": round(cuts[18], 3), "max": round(max(values), 3)}


def tell(text: str) -> None:
    """Say on standard error what is being measured."""
    print(f"bench: operator: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", type=int, default=1000)
    parser.add_argument("--window", type=float, default=60.0, help="seconds of a steady state")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = figures(arguments.experts, folder=Path(folder), window=arguments.window)
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
