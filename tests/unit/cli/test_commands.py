"""The command line on real input: results for people and programs, and errors that help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nanodex.cli import app
from nanodex.config import config_folder

PARCELRY = config_folder() / "samples" / "parcelry"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of parcelry, made by the command."""
    folder = tmp_path_factory.mktemp("graph")
    out = folder / "graph.sqlite"
    result = invoke("extract", PARCELRY, "--out", out, "--cache", folder, "--output", "json")
    assert result.exit_code == 0, result.output
    return out


def test_extract_prints_one_object_with_counts_seconds_and_memory(tmp_path: Path) -> None:
    result = invoke(
        "extract", PARCELRY, "--out", tmp_path / "g", "--cache", tmp_path, "--output", "json"
    )
    figures = json.loads(result.stdout)
    assert figures["stage"] == "extract"
    assert figures["seconds"] > 0
    assert figures["peakMegabytes"] > 0
    assert figures["counts"]["symbols"] > 100


def test_stats_counts_every_reference_as_an_edge_or_with_a_reason(graph: Path) -> None:
    figures = json.loads(invoke("graph", "stats", graph, "-o", "json").stdout)
    assert figures["repository"] == "parcelry"
    assert {"python", "java", "typescript", "cpp"} <= set(figures["languages"])
    assert figures["edges"]["calls"] > 20
    assert all(figures["rules"])
    assert all(figures["unresolved"])


def test_query_shows_who_touches_a_symbol(graph: Path) -> None:
    found = json.loads(invoke("graph", "query", graph, "QuoteDesk.redeem", "-o", "json").stdout)
    (symbol,) = found["symbols"]
    assert symbol["qualifiedName"].endswith("QuoteDesk.redeem")
    assert {relation["relationship"] for relation in symbol["relations"]} >= {"defines", "calls"}
    text = invoke("graph", "query", graph, "QuoteDesk.redeem", "--relationship", "calls").stdout
    assert "QuoteDesk.redeem" in text


def test_an_unknown_symbol_is_answered_with_the_nearest_ones(graph: Path) -> None:
    result = invoke("graph", "query", graph, "QuoteDesk.reedem")
    assert result.exit_code == 10
    assert "QuoteDesk.redeem" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("graph", "stats", "missing.sqlite"), 10, "no graph at missing.sqlite"),
        (("run", "missing.yaml"), 10, "missing.yaml: no such file"),
        (("extract", "no/such/folder"), 10, "no/such/folder"),
        (("serve",), 10, "one base model"),
        (("artifacts", "list", "gopher://x"), 10, "names no store"),
        (("ask", "default/x", "hello", "--url", "http://127.0.0.1:9"), 34, "nanodex serve"),
        (("brain", "--base-model", "gpt-5"), 10, "bundled://NAME"),
        (("extract",), 2, "Usage"),
    ],
)
def test_bad_input_gives_one_clear_line_and_its_exit_code(
    arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == exit_code
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_an_error_is_json_for_programs(tmp_path: Path) -> None:
    wrong = tmp_path / "expert.yaml"
    wrong.write_text("kind: CodeExpert\n", encoding="utf-8")
    result = invoke("run", wrong, "--output", "json")
    error = json.loads(result.stdout)["error"]
    assert error["reason"] == "InvalidInput"
    assert error["exitCode"] == result.exit_code == 10
    assert "metadata" in error["message"]


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "graph.sqlite"
    wrong.write_bytes(b"\0" * 100)
    result = invoke("graph", "stats", wrong)
    assert result.exit_code == 10
    assert "not a nanodex graph" in " ".join(result.stderr.split())


def test_config_show_fills_in_every_default() -> None:
    shown = invoke("config", "show", config_folder() / "samples" / "demo.yaml").stdout
    assert "maxSeqLength" in shown
    assert json.loads(invoke("config", "show", "-o", "json").stdout)["train_lora"]["method"] == (
        "lora"
    )


def test_an_empty_store_is_listed_verified_and_collected(tmp_path: Path) -> None:
    for command in ("list", "verify", "gc"):
        result = invoke("artifacts", command, tmp_path, "-o", "json")
        assert result.exit_code == 0, result.output
        json.loads(result.stdout)


@pytest.mark.parametrize(
    "command",
    [[], ["graph"], ["artifacts"], ["config"], ["run"], ["serve"], ["ask"], ["calibrate"]],
)
def test_help_costs_no_heavy_import(command: list[str]) -> None:
    code = (
        "import sys; from nanodex.cli import app\n"
        "try: app([*sys.argv[1:], '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'vllm', 'boto3', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout
