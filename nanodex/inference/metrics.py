"""The agent's metrics: requests, tokens, time to first token, residency, loads, restarts, waiting.

Labels hold public model names that are served; whatever a client invents is counted as `unknown`.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class AgentMetrics:
    """Metrics of one agent, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "nanodex_requests",
            "Requests answered, by model and status.",
            ("model", "code"),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "nanodex_requests_waiting",
            "Requests that wait for an engine that starts, or for their adapter.",
            ("model",),
            registry=self._registry,
        )
        self._tokens = Counter(
            "nanodex_tokens",
            "Tokens of prompts and of answers.",
            ("model", "kind"),
            registry=self._registry,
        )
        self._first_token = Histogram(
            "nanodex_time_to_first_token_seconds",
            "Seconds until the first byte of an answer.",
            ("model",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._resident = Gauge(
            "nanodex_adapter_resident",
            "1 for each version that answers.",
            ("model",),
            registry=self._registry,
        )
        self._loads = Counter(
            "nanodex_adapter_loads",
            "Adapters that were loaded and compared with training.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._restarts = Counter(
            "nanodex_engine_restarts",
            "Starts of the engine after the first.",
            registry=self._registry,
        )

    def answered(self, model: str, code: int) -> None:
        """Count a request by the public name of its route."""
        self._requests.labels(model, str(code)).inc()

    def waiting(self, requests: Mapping[str, int]) -> None:
        """Set how many requests wait, by the public name that they asked for."""
        self._waiting.clear()
        for model, count in requests.items():
            self._waiting.labels(model).set(count)

    def spent(self, model: str, *, prompt: int, answer: int) -> None:
        """Count the tokens of one request."""
        self._tokens.labels(model, "prompt").inc(prompt)
        self._tokens.labels(model, "answer").inc(answer)

    def first_byte(self, model: str, seconds: float) -> None:
        """Record when the answer began."""
        self._first_token.labels(model).observe(seconds)

    def resident(self, models: Iterable[str]) -> None:
        """Set which versions answer."""
        self._resident.clear()
        for model in models:
            self._resident.labels(model).set(1)

    def loaded(self, model: str, outcome: str) -> None:
        """Count a load: `accepted`, `refused`, or `restored` where it was accepted before."""
        self._loads.labels(model, outcome).inc()

    def restarted(self) -> None:
        """Count a restart of the engine."""
        self._restarts.inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
