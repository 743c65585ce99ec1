"""Listening: sockets and the web server that both kinds of agents put an application behind."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 512


class WebServer(uvicorn.Server):
    """A server that leaves signals to the process it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def web_server(app: ASGIApp, *, drain_seconds: int) -> WebServer:
    """Return a server for `app`; requests in flight get `drain_seconds` when it stops."""
    return WebServer(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=drain_seconds,
        )
    )


def listen_everywhere(port: int) -> socket.socket:
    """Listen on all addresses of the Pod, of both families where there are both.

    Raises:
        OSError: the port is taken.
    """
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)
