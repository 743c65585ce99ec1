"""`nanodex graph`: what is in a graph, and what touches a symbol."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from nanodex.cli.output import Output, OutputOption, console, emit, figures_table, reports_errors
from nanodex.graph.export import export_nodes
from nanodex.graph.query import Symbol, describe, find_symbols, statistics
from nanodex.graph.reader import load_graph

app = typer.Typer(no_args_is_help=True, help="Look into graph.sqlite.")

GraphArgument = Annotated[Path, typer.Argument(help="graph.sqlite of extract or brain.")]


@app.command()
@reports_errors
def stats(graph: GraphArgument, output: OutputOption = Output.TEXT) -> None:
    """Count files, nodes, edges by rule, and references that stayed open.

    Example: nanodex graph stats graph.sqlite
    """
    counts = statistics(load_graph(graph))
    emit(
        counts,
        output=output,
        text=lambda: console.print(
            figures_table(f"{counts.repository}@{counts.snapshot[:12]}", counts.model_dump())
        ),
    )


@app.command()
@reports_errors
def query(
    graph: GraphArgument,
    symbol: Annotated[str, typer.Argument(help="Qualified name or its last parts.")],
    relationship: Annotated[
        str, typer.Option(help="Only these edges: calls, extends, raises, tests ...")
    ] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Show a symbol with every edge in and out, each with its rule and confidence.

    Example: nanodex graph query graph.sqlite RateTable.lookup --relationship calls
    """
    loaded = load_graph(graph)
    found = [
        describe(loaded, node, relationship=relationship) for node in find_symbols(loaded, symbol)
    ]
    emit(
        {"symbols": [one.model_dump(by_alias=True) for one in found]},
        output=output,
        text=lambda: _print_symbols(found),
    )


def _print_symbols(symbols: list[Symbol]) -> None:
    for symbol in symbols:
        _print_symbol(symbol)


def _print_symbol(symbol: Symbol) -> None:
    place = f"{symbol.path}:{symbol.line}" if symbol.path else "outside the repository"
    meaning = f", {symbol.type}" if symbol.type else ""
    console.print(
        f"[bold]{escape(symbol.qualified_name)}[/]  {symbol.kind}{meaning}  {escape(place)}"
    )
    if symbol.signature:
        console.print(f"  {escape(symbol.signature)}")
    table = Table(box=None, header_style="dim")
    for column in ("edge", "symbol", "where", "rule", "conf"):
        table.add_column(column, overflow="fold")
    for one in symbol.relations:
        arrow = "→" if one.direction == "out" else "←"
        table.add_row(
            f"{one.relationship} {arrow}",
            escape(one.symbol),
            escape(f"{one.path}:{one.line}"),
            one.rule,
            f"{one.conf:.2f}",
        )
    console.print(table)


@app.command()
@reports_errors
def export(
    brain: Annotated[Path, typer.Argument(help="Folder that `nanodex brain` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for one JSON file per node.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Write one JSON file per node, with summary, type and edges, for people and scripts.

    Example: nanodex graph export brain/ --out nodes/
    """
    count = export_nodes(brain, out=out)
    emit(
        {"nodes": count, "folder": str(out)},
        output=output,
        text=lambda: console.print(f"{count} nodes in {out}"),
    )
