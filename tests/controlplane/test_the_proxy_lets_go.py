"""The proxy before the API server holds no connection once it is left: the next test would pay."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.controlplane.certificates import Authority
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.proxy import Proxy


@pytest.fixture
def busy_server(tmp_path: Path) -> Iterator[Path]:
    """A server that begins a watch and then hears of nothing, not even of TLS that ends.

    A busy API server is like that for a moment. Yields a kubeconfig that leads to it.
    """
    authority = Authority("authority")
    pair = authority.server("busy", hosts=["127.0.0.1"])
    pem = tmp_path / "server.pem"
    pem.write_bytes(pair.certificate + pair.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem)
    over = threading.Event()

    def serve() -> None:
        plain, _ = listening.accept()
        with tls.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield write_kubeconfig(
            tmp_path / "kubeconfig",
            name="busy",
            server=f"https://127.0.0.1:{listening.getsockname()[1]}",
            authority=authority.certificate,
            identity="token",
        )
        over.set()
        thread.join()


def test_a_watch_that_is_under_way_ends_with_it(busy_server: Path, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with Proxy(busy_server) as proxy:
            url = _server(proxy.kubeconfig(tmp_path))
            stack.enter_context(httpx.stream("GET", f"{url}/pods?watch=true"))

        assert _connections_to(_server(busy_server).port) == []


def _server(kubeconfig: Path) -> httpx.URL:
    """Return where a kubeconfig leads to."""
    return httpx.URL(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


def _connections_to(port: int | None) -> list[int]:
    """Return the descriptors of this process's connections to a port."""
    found = psutil.Process().net_connections(kind="tcp")
    return [each.fd for each in found if each.raddr and each.raddr.port == port]
