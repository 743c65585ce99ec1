"""The operator's Prometheus metrics, in a registry of their own.

Figures that exist anyway (queue depth, experts by phase) are asked for when somebody scrapes.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class OperatorMetrics:
    """Metrics of one operator process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = Counter(
            "nanodex_operator_reconciles",
            "Reconciles, by result: done, conflict or error.",
            ("result",),
            registry=self._registry,
        )
        self._reconcile_seconds = Histogram(
            "nanodex_operator_reconcile_seconds",
            "Seconds that a reconcile took.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._api = Counter(
            "nanodex_operator_api_requests",
            "Requests to the API server; code is 0 where no answer came.",
            ("verb", "resource", "code"),
            registry=self._registry,
        )
        self._store = Counter(
            "nanodex_operator_store_requests",
            "Questions to the artifact store, by result: found, missing or error.",
            ("result",),
            registry=self._registry,
        )
        self._transitions = Counter(
            "nanodex_operator_stage_transitions",
            "Changes of a stage's state.",
            ("stage", "state"),
            registry=self._registry,
        )
        self._leader = Gauge(
            "nanodex_operator_leader",
            "1 while this replica holds the lease.",
            registry=self._registry,
        )
        self._depth = Gauge(
            "nanodex_operator_queue_depth",
            "Objects that wait for a reconcile.",
            registry=self._registry,
        )
        self._oldest = Gauge(
            "nanodex_operator_queue_oldest_seconds",
            "Seconds that the first of them waits.",
            registry=self._registry,
        )

    def reconciled(self, result: str, *, seconds: float) -> None:
        """Count a reconcile."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def asked_api(self, verb: str, *, resource: str, code: int) -> None:
        """Count a request to the API server."""
        self._api.labels(verb, resource, str(code)).inc()

    def asked_store(self, result: str) -> None:
        """Count a question to the store."""
        self._store.labels(result).inc()

    def moved(self, stage: str, *, state: str) -> None:
        """Count a change of a stage's state."""
        self._transitions.labels(stage, state).inc()

    def leads(self, leading: bool) -> None:
        """Say whether this replica holds the lease."""
        self._leader.set(leading)

    def ask_queue(self, *, depth: Callable[[], float], oldest: Callable[[], float]) -> None:
        """Take the queue's figures from these when somebody scrapes."""
        self._depth.set_function(depth)
        self._oldest.set_function(oldest)

    def ask_experts(self, by_phase: Callable[[], Mapping[str, int]]) -> None:
        """Take the number of CodeExperts by phase from this when somebody scrapes."""
        self._registry.register(_Experts(by_phase))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)


class _Experts:
    """Gauges whose label values come and go."""

    def __init__(self, by_phase: Callable[[], Mapping[str, int]]) -> None:
        self._by_phase = by_phase

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "nanodex_operator_experts", "CodeExperts by phase.", labels=("phase",)
        )
        for phase, count in sorted(self._by_phase().items()):
            family.add_metric((phase or "Unknown",), count)
        yield family
