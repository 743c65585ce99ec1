"""A real git server over TLS on loopback: what git says there, and who gets to see the password."""

import base64
import datetime
import ipaddress
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nanodex.api.code_expert import GitSource
from nanodex.errors import NanodexError, TryAgain, UserError
from nanodex.source.credentials import Credentials
from nanodex.source.repository import checkout, resolve

pytestmark = pytest.mark.integration

PASSWORD = 'p4ss "word\\'


@dataclass
class Server:
    """What the server wants, and what it has seen."""

    root: Path
    ca: str
    accepted: tuple[str, ...] = ()  # values of Authorization; empty asks for nothing
    redirect: str = ""  # address of another server that everything is sent to
    protocols: bool = True  # whether protocol 2 is understood
    status: int = 0  # answer everything with this
    authorizations: list[str] = field(default_factory=list)
    port: int = 0

    def source(self, **fields: object) -> GitSource:
        url = f"https://127.0.0.1:{self.port}/team/payments.git"
        return GitSource.model_validate({"url": url, **fields})

    def credentials(self, **values: str) -> Credentials:
        return Credentials(ca_certificates=self.ca, **values)


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def answer(self, body: bytes) -> None:
            authorization = self.headers.get("Authorization", "")
            server.authorizations.append(authorization)
            if server.status:
                return self.short(server.status)
            if server.redirect:
                return self.short(302, Location=server.redirect + self.path)
            if server.accepted and authorization not in server.accepted:
                return self.short(401, **{"WWW-Authenticate": 'Basic realm="git"'})
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if server.protocols else "",
            }
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=body, capture_output=True,
                check=True,
            )  # fmt: skip
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.short(int(headers.pop("Status", "200")[:3]), content, **headers)

        def short(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the terminal quiet."""

    return Handler


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nanodex test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with team/payments.git in it, two commits on main."""
    root = tmp_path_factory.mktemp("served")
    bare = root / "team" / "payments.git"
    bare.mkdir(parents=True)
    commits = "".join(
        f"commit refs/heads/main\ncommitter a <a@example.com> 0 +0000\ndata 1\nx\n"
        f"M 100644 inline app.py\ndata 6\nx = {number}\n\n"
        for number in (1, 2)
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (["init", "-q", "--bare", "-b", "main", "."], ["fast-import", "--quiet"]):
        subprocess.run(
            ["git", *arguments], cwd=bare, env=environment, input=commits.encode(), check=True
        )
    return root


@pytest.fixture
def start(certificate: Path, served: Path) -> Iterator[type[Server]]:
    """Start servers; all of them end with the test."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    class Started(Server):
        def __init__(self, **wants: object) -> None:
            ca = (certificate / "certificate.pem").read_text()
            super().__init__(root=served, ca=ca, **wants)  # type: ignore[arg-type]
            listener = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
            listener.socket = context.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )
            self.port = listener.server_address[1]
            thread = threading.Thread(target=listener.serve_forever, daemon=True)
            thread.start()
            running.append((listener, thread))

    yield Started
    for listener, thread in running:
        listener.shutdown()
        listener.server_close()
        thread.join()


def test_a_public_repository_is_read(start: type[Server], tmp_path: Path) -> None:
    server = start()
    git = server.source()
    taken = checkout(
        git, commit=resolve(git, credentials=server.credentials()), destination=tmp_path / "out",
        credentials=server.credentials(),
    )  # fmt: skip
    assert (taken.repository, taken.read(taken.files[0])) == ("payments", b"x = 2\n")


def test_a_private_repository_is_read_with_its_password(
    start: type[Server], tmp_path: Path
) -> None:
    server = start(accepted=(basic("robot", PASSWORD),))
    credentials = server.credentials(username="robot", password=PASSWORD)
    git = server.source()
    commit = resolve(git, credentials=credentials)
    taken = checkout(git, commit=commit, destination=tmp_path / "out", credentials=credentials)
    assert [file.path for file in taken.files] == ["app.py"]


def test_a_private_repository_is_read_with_a_token(start: type[Server], tmp_path: Path) -> None:
    server = start(accepted=("Bearer t0ken",))
    credentials = server.credentials(bearer_token="t0ken")
    git = server.source()
    commit = resolve(git, credentials=credentials)
    taken = checkout(git, commit=commit, destination=tmp_path / "out", credentials=credentials)
    assert [file.path for file in taken.files] == ["app.py"]


@pytest.mark.parametrize(
    "values", [{}, {"username": "robot", "password": "wr0ng"}, {"bearer_token": "wr0ng"}]
)
def test_wrong_credentials_are_an_error_that_does_not_show_them(
    start: type[Server], values: dict[str, str]
) -> None:
    server = start(accepted=(basic("robot", PASSWORD),))
    with pytest.raises(UserError) as caught:
        resolve(server.source(), credentials=server.credentials(**values))
    assert (caught.value.reason, caught.value.exit_code) == ("AuthenticationFailed", 13)
    assert "wr0ng" not in str(caught.value) + caught.value.hint


def test_a_server_that_is_not_trusted_gets_no_password(start: type[Server]) -> None:
    server = start(accepted=(basic("robot", PASSWORD),))
    with pytest.raises(UserError, match="is not trusted") as caught:
        resolve(server.source(), credentials=Credentials(username="robot", password=PASSWORD))
    assert "ca.crt" in caught.value.hint
    assert server.authorizations == []


@pytest.mark.parametrize(
    "values", [{"username": "robot", "password": PASSWORD}, {"bearer_token": "t0ken"}]
)
def test_a_redirect_leads_no_password_to_another_server(
    start: type[Server], values: dict[str, str]
) -> None:
    thief = start(accepted=("nothing is right here",))
    server = start(redirect=f"https://127.0.0.1:{thief.port}")
    with pytest.raises(NanodexError):
        resolve(server.source(), credentials=server.credentials(**values))
    assert set(thief.authorizations) <= {""}


def test_a_redirect_to_an_unencrypted_server_is_not_followed(start: type[Server]) -> None:
    server = start(redirect="http://127.0.0.1:9")
    with pytest.raises(NanodexError):
        resolve(server.source(), credentials=server.credentials())


def test_a_repository_that_does_not_exist_is_named(start: type[Server]) -> None:
    server = start()
    git = GitSource.model_validate({"url": f"https://127.0.0.1:{server.port}/team/none.git"})
    with pytest.raises(UserError, match="there is no git repository at"):
        resolve(git, credentials=server.credentials())


def test_a_server_in_trouble_is_worth_another_try(start: type[Server]) -> None:
    server = start(status=503)
    with pytest.raises(TryAgain) as caught:
        resolve(server.source(), credentials=server.credentials())
    assert (caught.value.reason, caught.value.exit_code) == ("GitUnavailable", 32)


def test_a_server_that_is_not_there_is_worth_another_try(start: type[Server]) -> None:
    git = GitSource.model_validate({"url": "https://127.0.0.1:9/team/payments.git"})
    with pytest.raises(TryAgain):
        resolve(git)


def test_a_commit_below_the_tip_is_read_from_a_server_that_hands_out_tips_only(
    start: type[Server], tmp_path: Path
) -> None:
    server = start(protocols=False)
    git = server.source()
    tip = resolve(git, credentials=server.credentials())
    bare = server.root / "team" / "payments.git"
    old = subprocess.run(
        ["git", "rev-parse", f"{tip}~1"], cwd=bare, capture_output=True, check=True
    ).stdout.decode().strip()  # fmt: skip
    taken = checkout(
        git, commit=old, destination=tmp_path / "out", credentials=server.credentials()
    )
    assert taken.read(taken.files[0]) == b"x = 1\n"
