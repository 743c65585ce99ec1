"""A git server in a Pod: repositories out of mounted bundles, over https and ssh.

Each /seed/NAME.bundle becomes /repositories/NAME.git. What is asked for over https is answered by
git's own backend, behind a name and a password where /auth has them; ssh lets the keys in
/auth/authorized_keys in, and only to fetch.
"""

import base64
import hmac
import os
import shutil
import ssl
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEED = Path("/seed")
REPOSITORIES = Path("/repositories")
TLS = Path("/tls")
AUTH = Path("/auth")
HTTPS_PORT = 8443
SSH_PORT = 2222
_GIT = {"PATH": os.environ["PATH"], "HOME": "/tmp", "GIT_CONFIG_NOSYSTEM": "1"}
# The fetched repository is named by the client, and only what git-upload-pack finds is served.
_SSHD = f"""\
Port {SSH_PORT}
HostKey /tmp/ssh/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile /auth/authorized_keys
AllowTcpForwarding no
X11Forwarding no
PermitTTY no
"""


class Handler(BaseHTTPRequestHandler):
    """Passes requests on to `git http-backend`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer which refs there are, and whether the server lives."""
        if self.path == "/healthz":
            self._send(200, b"ok")
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        """Answer what a client wants to have."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        if not _granted(self.headers.get("Authorization", "")):
            self._send(401, b"", **{"WWW-Authenticate": 'Basic realm="git"'})
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                **_GIT,
                "GIT_PROJECT_ROOT": str(REPOSITORIES),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
            input=body,
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._send(int(headers.pop("Status", "200")[:3]), content, **headers)

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _granted(authorization: str) -> bool:
    if not (AUTH / "password").exists():
        return True
    wanted = b":".join((AUTH / name).read_bytes().strip() for name in ("username", "password"))
    expected = "Basic " + base64.b64encode(wanted).decode()
    return hmac.compare_digest(expected.encode(), authorization.encode())


def seed() -> None:
    """Make the repositories."""
    for bundle in sorted(SEED.glob("*.bundle")):
        repository = REPOSITORIES / f"{bundle.stem}.git"
        if not repository.exists():
            clone = ["git", "clone", "--quiet", "--mirror", str(bundle), str(repository)]
            subprocess.run(clone, env=_GIT, check=True)


def start_ssh() -> None:
    """Start OpenSSH beside the https server, where there are keys for it."""
    if not (AUTH / "authorized_keys").exists():
        return
    folder = Path("/tmp/ssh")
    folder.mkdir(mode=0o700, exist_ok=True)
    # sshd refuses a key that a group may read, and a mounted Secret is such a file.
    shutil.copyfile(AUTH / "ssh_host_key", folder / "host_key")
    (folder / "host_key").chmod(0o600)
    (folder / "sshd_config").write_text(_SSHD)
    subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")])


def main() -> None:
    """Serve until the Pod ends."""
    seed()
    start_ssh()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "tls.crt", TLS / "tls.key")
    server = ThreadingHTTPServer(("", HTTPS_PORT), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"serving {sorted(path.name for path in REPOSITORIES.iterdir())}", file=sys.stderr)
    server.serve_forever()


if __name__ == "__main__":
    main()
