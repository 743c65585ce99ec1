"""What makes a node a module, an error, a recipe, a capability or a concept."""

from collections.abc import Callable
from typing import Any

import pytest

from nanodex.api.records import NodeType
from nanodex.brain.node_typer import Verdict, type_nodes

MakeRows = Callable[[], Any]


def verdict(rows: Any, name: str) -> Verdict:
    return type_nodes(rows.graph())[rows.nodes[name].id]


def test_a_file_is_a_module(rows: MakeRows) -> None:
    assert verdict(rows().node("app", "module"), "app") == (
        NodeType.MODULE,
        "module-file",
        "src/app.py",
    )


def test_a_file_of_tests_is_a_module_too(rows: MakeRows) -> None:
    module = rows().node("tests.test_app", "module", path="tests/test_app.py")
    assert verdict(module, "tests.test_app")[:2] == (NodeType.MODULE, "test-file")


def test_an_error_inherits_from_the_exception_root_over_any_number_of_classes(
    rows: MakeRows,
) -> None:
    graph = (
        rows()
        .node("builtins.Exception", "external")
        .node("app.Base", "class")
        .node("app.Oops", "class")
        .edge("app.Base", "extends", "builtins.Exception")
        .edge("app.Oops", "extends", "app.Base")
    )
    assert verdict(graph, "app.Oops") == (
        NodeType.ERROR,
        "exception-root",
        "extends Base, which extends Exception",
    )


@pytest.mark.parametrize(
    ("language", "root"),
    [
        ("java", "java.lang.RuntimeException"),
        ("typescript", "Error"),
        ("cpp", "std.runtime_error"),
        ("python", "builtins.KeyError"),
    ],
)
def test_each_language_has_its_own_exception_root(rows: MakeRows, language: str, root: str) -> None:
    graph = (
        rows()
        .node(root, "external", language=language)
        .node("app.Jam", "class", language=language)
        .edge("app.Jam", "extends", root)
    )
    assert verdict(graph, "app.Jam").type is NodeType.ERROR


def test_a_name_that_ends_in_error_is_no_evidence(rows: MakeRows) -> None:
    graph = rows().node("app.TypoError", "class", visibility="private")
    assert verdict(graph, "app.TypoError").type is NodeType.CONCEPT


def test_inheritance_cycles_end(rows: MakeRows) -> None:
    graph = (
        rows()
        .node("builtins.Exception", "external")
        .node("app.A", "class")
        .node("app.B", "class")
        .edge("app.A", "extends", "builtins.Exception")
        .edge("app.A", "extends", "app.B")
        .edge("app.B", "extends", "app.A")
    )
    assert verdict(graph, "app.B").type is NodeType.ERROR


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("tests/test_app.py", "test"),
        ("src/app.test.ts", "test"),
        ("java/LabelTest.java", "test"),
        ("examples/quick.py", "example"),
    ],
)
def test_a_recipe_calls_the_public_api_from_a_test_or_example(
    rows: MakeRows, path: str, rule: str
) -> None:
    graph = rows().node("app.quote").node("shows", path=path).edge("shows", "calls", "app.quote")
    assert verdict(graph, "shows") == (NodeType.RECIPE, rule, "calls app.quote")


def test_a_test_that_calls_nothing_public_is_only_support(rows: MakeRows) -> None:
    graph = rows().node("tests.make_parcel", path="tests/test_app.py", docstring="Makes one.")
    assert verdict(graph, "tests.make_parcel")[:2] == (NodeType.CONCEPT, "test-support")


@pytest.mark.parametrize("path", ["src/latest.py", "src/contest/app.py", "src/attestation.java"])
def test_test_inside_a_word_is_no_test(rows: MakeRows, path: str) -> None:
    assert verdict(rows().node("f", path=path, docstring="D."), "f").type is NodeType.CAPABILITY


def test_an_entry_point_that_uses_the_api_is_a_recipe_and_another_a_capability(
    rows: MakeRows,
) -> None:
    graph = (
        rows()
        .node("app.quote")
        .node("cli.main", path="src/cli.py")
        .edge("cli.main", "calls", "app.quote")
        .attribute("cli.main", "entry_point", "main")
        .node("cli.version", path="src/cli.py")
        .attribute("cli.version", "route", "version")
    )
    assert verdict(graph, "cli.main")[:2] == (NodeType.RECIPE, "entry-point")
    assert verdict(graph, "cli.version")[:2] == (NodeType.CAPABILITY, "entry-point")


def test_a_capability_is_public_and_used_from_another_file(rows: MakeRows) -> None:
    graph = (
        rows()
        .node("app.quote")
        .node("desk.open", path="src/desk.py", visibility="private")
        .edge("desk.open", "calls", "app.quote")
    )
    assert verdict(graph, "app.quote") == (
        NodeType.CAPABILITY,
        "used-across-modules",
        "used by src/desk.py",
    )


def test_use_by_tests_alone_makes_no_capability(rows: MakeRows) -> None:
    graph = (
        rows()
        .node("app.quote")
        .node("tests.test_quote", path="tests/test_app.py")
        .edge("tests.test_quote", "calls", "app.quote")
    )
    assert verdict(graph, "app.quote").type is NodeType.CONCEPT


def test_documented_and_private_is_a_concept(rows: MakeRows) -> None:
    graph = rows().node("app._quote", visibility="private", docstring="Hidden.")
    assert verdict(graph, "app._quote")[:2] == (NodeType.CONCEPT, "rest")


def test_external_symbols_get_no_verdict(rows: MakeRows) -> None:
    assert type_nodes(rows().node("json.loads", "external").graph()) == {}
