"""A stand-in for kubectl: it remembers what it was asked and answers what a test has written."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nanodex.cli.plugin import app

BASE_MODEL = "hf://Qwen/Qwen2.5-Coder-7B-Instruct"
NEW, OLD, OLDER = ("sha256:" + digit * 64 for digit in "abc")

SCRIPT = """\
#!/bin/sh
printf '%s\\n' "$*" >> "{folder}/asked"
if [ "$1" = port-forward ]; then
  cat "{folder}/forward.stderr" >&2
  cat "{folder}/forward"
  [ -s "{folder}/forward" ] && exec sleep 60
  exit 1
fi
cat "{folder}/stderr" >&2
cat "{folder}/$1"
exit "$(cat "{folder}/code")"
"""


class StandIn:
    """kubectl as the plugin sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("asked", "stderr", "forward", "forward.stderr", "get", "patch", "logs"):
            (folder / name).write_text("")
        (folder / "create").write_text("token-of-the-account\n")
        (folder / "code").write_text("0")
        program = folder / "kubectl"
        program.write_text(SCRIPT.format(folder=folder))
        program.chmod(0o755)

    def answer(self, body: Any) -> None:
        (self.folder / "get").write_text(json.dumps(body))

    def refuse(self, stderr: str) -> None:
        (self.folder / "stderr").write_text(stderr)
        (self.folder / "code").write_text("1")

    def forward(self, text: str, *, stderr: str = "") -> None:
        (self.folder / "forward").write_text(text)
        (self.folder / "forward.stderr").write_text(stderr)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()

    @property
    def patch(self) -> Any:
        (line,) = (line for line in self.asked if line.startswith("patch "))
        return json.loads(line.partition("--patch=")[2].rpartition(" --output")[0])


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return StandIn(folder)


@pytest.fixture
def plugin() -> Callable[..., Result]:
    """Runs `kubectl nanodex` with these words."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    return run


@pytest.fixture
def make_expert() -> Callable[..., Any]:
    """A CodeExpert as the API server has it."""

    def make(*, spec: Any = None, **status: Any) -> Any:
        return {
            "apiVersion": "nanodex.dev/v1alpha1",
            "kind": "CodeExpert",
            "metadata": {
                "name": "payments", "namespace": "team-a", "uid": "uid-1", "generation": 3,
                "managedFields": [],
            },
            "spec": {
                "source": {"git": {"url": "https://git.example.com/acme/payments.git"}},
                "baseModel": {"uri": BASE_MODEL},
                **(spec or {}),
            },
            "status": status,
        }  # fmt: skip

    return make


def adapter(digest: str, **fields: Any) -> dict[str, Any]:
    return {"digest": digest, "commit": digest[7:47], "baseModel": BASE_MODEL} | fields


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """An OpenAI server on loopback; its address and the requests that it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.append((body, self.headers.get("authorization")))
            chunk = {"choices": [{"delta": {"content": "In ledger.py."}}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{running.server_port}", got
        running.shutdown()
        thread.join()
