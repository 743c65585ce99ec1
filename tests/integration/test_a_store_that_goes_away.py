"""S3 stops for 20 seconds, or for good, or never was what it should be, or is somebody else."""

import contextlib
import hashlib
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import find, open_store, publish, require_conditional_writes, verify
from nanodex.artifacts.s3 import S3Store
from nanodex.errors import TryAgain, UserError

pytestmark = pytest.mark.integration

KEY = "0" * 63 + "1"
AWAY_SECONDS = 20
BUCKET = "nanodex"


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pause(server) -> None:
    server.pause()
    time.sleep(AWAY_SECONDS)
    server.resume()


def crash(server) -> None:
    server.stop()
    time.sleep(AWAY_SECONDS)
    server.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("outage", [pause, crash])
def test_an_upload_survives(
    outage: Callable, s3_environment, s3_location: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "adapter").mkdir(parents=True)
    for number in range(3):
        (out / f"adapter/part-{number}.safetensors").write_bytes(os.urandom(48 << 20))
    (out / "training.json").write_text("{}")
    store = open_store(s3_location)
    published = []
    thread = threading.Thread(
        target=lambda: published.append(
            publish(out, store=store, stage=StageName.TRAIN, key=KEY, scope="team-a")
        )
    )
    client = s3_environment.client()
    thread.start()
    # The first of nine parts is on its way, so the server goes in the middle.
    while not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads"):
        assert thread.is_alive()
        time.sleep(0.01)
    outage(s3_environment)
    thread.join(timeout=150)
    assert not thread.is_alive()
    assert published[0].first
    manifest = find(store, scope="team-a", stage=StageName.TRAIN, key=KEY)
    assert manifest == published[0].manifest
    assert verify(manifest, store=store) == ()


@pytest.mark.timeout(300)
def test_a_download_goes_on_where_it_broke(
    s3_environment, s3_location: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(48 << 20))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    store = open_store(s3_location)
    store.upload("v1/a/file", path, sha256=digest)
    read = hashlib.sha256()
    for number, chunk in enumerate(store.stream("v1/a/file")):
        read.update(chunk)
        if number == 3:
            s3_environment.stop()
            threading.Timer(2, s3_environment.start).start()
    assert read.hexdigest() == digest


def test_a_store_that_stays_away_is_unavailable_in_bounded_time(
    s3_environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Port 9 (discard) is closed.
    store = S3Store(BUCKET, endpoint="http://127.0.0.1:9", patience_seconds=3)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING), pytest.raises(TryAgain) as caught:
        store.write("v1/a/x", b"x")
    assert time.monotonic() - started < 15
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert caught.value.exit_code is ExitCode.STORE_UNAVAILABLE
    assert "goes on where it stopped" in caught.value.hint
    assert "does not answer" in caplog.text


class SomebodyElse(BaseHTTPRequestHandler):
    """What answers at the store's address while there is none: an ingress, a gateway.

    It knows no object, and it keeps its connections, so that who asks again over one asks it again.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class FirstSomebodyElse(SomebodyElse):
    """The store's address, at which somebody else takes the first connection, and keeps it."""

    store: tuple[str, int]
    connections: Iterator[int]

    def handle(self) -> None:
        if next(self.connections) == 0:
            super().handle()
            return
        with socket.create_connection(self.store) as store, contextlib.suppress(OSError):
            back = threading.Thread(target=self.pass_on, args=(store, self.connection))
            back.start()
            self.pass_on(self.connection, store)
            back.join()

    @staticmethod
    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def address(s3_environment) -> Iterator[str]:
    store = ("127.0.0.1", s3_environment.ports["s3"])
    attributes = {"store": store, "connections": itertools.count()}
    with listening(type("Handler", (FirstSomebodyElse,), attributes)) as endpoint:
        yield endpoint


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda store, path: store.read("v1/a/x", limit=9), b"x"),
        (lambda store, path: b"".join(store.stream("v1/a/x")), b"x"),
        (lambda store, path: store.info("v1/a/x").size, 1),
        (lambda store, path: store.info("v1/a/none"), None),
        (lambda store, path: [one.name for one in store.entries("v1/a/")], ["v1/a/x"]),
        (lambda store, path: store.write_if_absent("v1/a/x", b"y"), False),
        (lambda store, path: store.delete("v1/a/x"), None),
        (lambda store, path: store.upload("v1/a/y", path, sha256=digest_of(path)), None),
    ],
    ids=["read", "stream", "info", "no info", "entries", "write once", "delete", "upload"],
)
def test_what_somebody_else_says_of_an_object_is_no_answer(
    address: str, s3_location: str, tmp_path: Path, ask: Callable, answer: object
) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(17 << 20))
    open_store(s3_location).write("v1/a/x", b"x")
    store = S3Store(BUCKET, prefix=s3_location.rpartition("/")[2], endpoint=address)
    assert ask(store, path) == answer


def test_an_address_where_somebody_else_stays_is_named(s3_environment) -> None:
    with listening(SomebodyElse) as endpoint, pytest.raises(TryAgain) as caught:
        store = S3Store(BUCKET, endpoint=endpoint, patience_seconds=1)
        find(store, scope="team-a", stage=StageName.TRAIN, key=KEY)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_a_missing_bucket_is_the_users_to_mend(s3_environment) -> None:
    with pytest.raises(UserError) as caught:
        require_conditional_writes(open_store("s3://there-is-none/x"))
    assert caught.value.reason is Reason.INVALID_INPUT
    assert "Create the bucket" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")],
)
def test_wrong_credentials_are_the_users_to_mend(
    s3_location: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    store = open_store(s3_location)
    for attempt in (
        lambda: find(store, scope="team-a", stage=StageName.TRAIN, key=KEY),
        lambda: store.info("v1/a/x"),
        lambda: list(store.entries("v1/")),
        lambda: require_conditional_writes(store),
    ):
        with pytest.raises(UserError) as caught:
            attempt()
        assert caught.value.reason is Reason.AUTHENTICATION_FAILED
        assert caught.value.exit_code is ExitCode.AUTHENTICATION_FAILED
        assert "nanodex-test-secret" not in caught.value.message


def test_no_credentials_are_the_users_to_mend(
    s3_location: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError) as caught:
        open_store(s3_location).read("v1/a/x", limit=1)
    assert caught.value.reason is Reason.AUTHENTICATION_FAILED
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


class OldServer(BaseHTTPRequestHandler):
    """An S3 server from before conditional writes, as far as the probe looks."""

    objects: dict[str, bytes]
    refuses: bool

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refuses and "If-None-Match" in self.headers:
            self.answer(501, b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>")
            return
        self.objects[self.path] = data
        self.answer(200)

    def do_GET(self) -> None:
        self.answer(200, self.objects[self.path])

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self.answer(204)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"tag"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=["ignores the header", "refuses the header"])
def old_server(request: pytest.FixtureRequest) -> Iterator[str]:
    attributes = {"objects": {}, "refuses": request.param.startswith("refuses")}
    with listening(type("Handler", (OldServer,), attributes)) as endpoint:
        yield endpoint


def test_a_server_without_conditional_writes_is_found_out(old_server: str, s3_environment) -> None:
    with pytest.raises(UserError) as caught:
        require_conditional_writes(S3Store(BUCKET, endpoint=old_server))
    assert caught.value.reason is Reason.STORE_WITHOUT_CONDITIONAL_WRITES
