"""`nanodex ask --evidence`: the facts of the very graph from which the answering adapter came."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
from nanodex.cli import app

NODE = (
    "INSERT INTO nodes VALUES (1, '', 'redeem', 'a.py', 'method', 'parcelry.QuoteDesk.redeem',"
    " 'python', 41, 42, '', '', 'public', NULL, 0, 1, 0, 1, '', '', '[]')"
)
ANSWER = "`QuoteDesk.redeem` raises `VoucherNotThere`."


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_graph(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(resources.files("nanodex.graph").joinpath("schema.sql").read_text())
        database.execute(NODE)
        database.commit()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with what led to an adapter, and the adapter's digest."""
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "brain").mkdir()
    write_graph(folder / "brain" / "graph.sqlite")
    opened = open_store(str(folder / "store"))
    upstream: dict[str, str] = {}
    for number, stage in enumerate((StageName.BRAIN, StageName.DATASET, StageName.TRAIN)):
        written = folder / stage.value
        written.mkdir(exist_ok=True)
        (written / "what.txt").write_text(stage)
        manifest = publish(
            written,
            store=opened,
            stage=stage,
            key=f"{number:064x}",
            scope="team",
            upstream=upstream,
        ).manifest
        upstream = {stage.value: manifest.digest}
    return folder / "store", manifest.digest


@pytest.fixture
def serve() -> Iterator[Callable[[str], str]]:
    """Answers every question from the adapter with this digest; returns the address."""
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def start(digest: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                keyed = self.headers.get("authorization") == "Bearer nx-0123456789abcdef"
                self.send_response(200 if keyed else 401)
                self.send_header("nanodex-digest", digest)
                self.send_header("nanodex-commit", "c" * 40)
                self.end_headers()
                chunk = {"choices": [{"delta": {"content": ANSWER}}]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NANODEX_API_KEY", "nx-0123456789abcdef")
    monkeypatch.setenv("COLUMNS", "200")


def test_known_symbols_have_file_and_line_and_invented_ones_are_marked(
    store: tuple[Path, str], serve: Callable[[str], str], tmp_path: Path
) -> None:
    folder, digest = store
    asked = ("ask", "team/x", "?", "--url", serve(digest), "--store", folder, "--cache", tmp_path)

    shown = invoke(*asked, "--evidence")

    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"{ANSWER}\n✓ ")
    assert "QuoteDesk.redeem: method, a.py:41" in shown.stdout
    assert "✗ VoucherNotThere: the graph does not know it" in shown.stdout

    found = json.loads(invoke(*asked, "--evidence", "-o", "json").stdout)
    assert (found["digest"], found["commit"]) == (digest, "c" * 40)
    assert [one["known"] for one in found["evidence"]] == [True, False]
    assert found["evidence"][0]["meanings"][0]["line"] == 41
    assert "evidence" not in json.loads(invoke(*asked, "-o", "json").stdout)


def test_a_graph_can_be_named_where_the_store_is_not_at_hand(
    store: tuple[Path, str], serve: Callable[[str], str]
) -> None:
    graph = store[0].parent / "brain" / "graph.sqlite"

    shown = invoke("ask", "x", "?", "--url", serve(""), "--evidence", "--graph", graph)

    assert "✗ VoucherNotThere" in shown.stdout


def test_an_answer_whose_graph_is_not_in_the_store_says_so(
    store: tuple[Path, str], serve: Callable[[str], str], tmp_path: Path
) -> None:
    url = serve("sha256:" + "0" * 64)

    shown = invoke("ask", "team/x", "?", "--url", url, "--evidence", "--store", store[0])

    assert shown.exit_code == 10
    assert shown.stdout == f"{ANSWER}\n"
    assert "--graph graph.sqlite" in " ".join(shown.stderr.split())


def test_without_the_right_key_it_says_where_a_key_goes(
    serve: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NANODEX_API_KEY")

    shown = invoke("ask", "team/x", "?", "--url", serve(""))

    assert (shown.exit_code, "NANODEX_API_KEY" in shown.stderr) == (13, True)
