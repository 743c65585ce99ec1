"""Answers the kubelet and Prometheus from a thread of its own: even while the loop is stuck."""

import logging
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_READ_SECONDS = 5

_log = logging.getLogger(__name__)


Route = Callable[[], tuple[HTTPStatus, bytes]]


class Endpoint:
    """An HTTP server with a few paths.

    Args:
        port: on all addresses; 0 takes a free one.
        routes: what answers, by path.
    """

    def __init__(self, port: int, *, routes: Mapping[str, Route]) -> None:
        class Handler(BaseHTTPRequestHandler):
            """Answers GET."""

            timeout = _READ_SECONDS
            server_version = "nanodex-operator"
            sys_version = ""

            def do_GET(self) -> None:
                status, body = routes.get(self.path, _nothing)()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                _log.debug(format, *args)

        self._server = _server(port, Handler)
        self._thread = Thread(target=self._server.serve_forever, name="endpoint", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def healthz(problem: Callable[[], str]) -> Route:
    """Return the route that says whether this process should be restarted.

    Args:
        problem: returns why it should; empty if it should not.
    """

    def answer() -> tuple[HTTPStatus, bytes]:
        found = problem()
        if not found:
            return HTTPStatus.OK, b"ok\n"
        _log.error("unhealthy: %s", found)
        return HTTPStatus.SERVICE_UNAVAILABLE, f"{found}\n".encode()

    return answer


def _nothing() -> tuple[HTTPStatus, bytes]:
    return HTTPStatus.NOT_FOUND, b"there is nothing here\n"


def _server(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Return a server on all addresses of both families, where there are both."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

        def server_bind(self) -> None:
            if self.address_family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Not HTTPServer's: it asks the name server for a name of this address.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = "", int(self.server_address[1])

    return Server(("", port), handler)
