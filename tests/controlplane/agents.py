"""Agents of a ModelServer's Pods, as the operator sees them: what is in the set, they hold.

Each has an address of this machine's loopback for its own, because the operator asks all on one
port. What agents and engines really do is shown by tests/integration/inference.
"""

import itertools
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from nanodex_operator.manifests.engine_pod import PRIVATE_PORT

from nanodex.api.agent_report import AdapterReport, AdapterState, AgentReport, EngineState
from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.reasons import Reason

# 127.0.0.1 may have other things on that port.
_ADDRESSES = itertools.count(1)


class StandInAgent:
    """The agent of one Pod.

    Args:
        mounted: returns the desired set as it is mounted now.
        base_model: address of what its engine serves.
    """

    def __init__(self, mounted: Callable[[], DesiredSet], *, base_model: str) -> None:
        self.address = f"127.0.77.{next(_ADDRESSES)}"
        # Set: it looks no more at what is mounted.
        self.lags = threading.Event()
        self.refused: set[str] = set()
        self._mounted = mounted
        self._base_model = base_model
        self._seen = DesiredSet()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = agent._report().model_dump_json().encode()
                self.send_response(200 if self.path == "/status" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((self.address, PRIVATE_PORT), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _report(self) -> AgentReport:
        if not self.lags.is_set():
            self._seen = self._mounted()
        return AgentReport(
            generation=self._seen.generation,
            content_hash=self._seen.content_hash,
            engine=EngineState.READY,
            base_model=self._base_model,
            base_model_revision="r1",
            adapters=tuple(self._adapter(one) for one in self._seen.experts),
        )

    def _adapter(self, expert: ServedExpert) -> AdapterReport:
        refused = expert.digest in self.refused
        return AdapterReport(
            name=expert.name,
            digest=expert.digest,
            active=expert.active,
            state=AdapterState.QUARANTINED if refused else AdapterState.LOADED,
            reason=Reason.LOAD_REJECTED if refused else None,
            message="its answers are not those that training saw" if refused else "",
        )


def read_set(config_map: dict[str, Any] | None) -> DesiredSet:
    """Return what a Pod that mounts this ConfigMap sees."""
    if config_map is None:
        return DesiredSet()
    return DesiredSet.model_validate(json.loads(config_map["data"]["set.json"]))
