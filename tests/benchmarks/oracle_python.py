"""Compares our edges of Python with what pyright's language server says, and prints JSON.

    python tests/benchmarks/oracle_python.py FOLDER [--calls N]

Call sites, imports and base classes are listed by the standard library's `ast`, not by our parser,
and each is put to `textDocument/definition`. A call edge is right when pyright leads from the same
calling definition to the same called definition. Recall counts calls whose callee is defined in
FOLDER; precision counts our first-party edges at confidence 0.9 and above.
"""

import argparse
import ast
import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.extractor import extract
from nanodex.graph.reader import Graph, Node, load_graph
from nanodex.source.checkout import Checkout, SourceFile

_SERVER = Path(sys.executable).with_name("pyright-langserver")
_WINDOW = 64  # requests that are under way at once
Key = tuple[str, str]  # path and dotted name within the file; "" for the module


@dataclass(frozen=True)
class Site:
    """A token of the source that refers to something."""

    kind: str  # calls imports extends
    path: str
    holder: str  # dotted name of the definition that it stands in
    line: int  # from 0
    column: int  # in UTF-16 units; the corpus is ASCII where it matters


@dataclass
class Listing:
    """What `ast` sees in one file."""

    sites: list[Site] = field(default_factory=list)
    definitions: dict[tuple[int, int], str] = field(default_factory=dict)  # name token -> dotted


class _Visitor(ast.NodeVisitor):
    def __init__(self, path: str, source: str) -> None:
        self.listing = Listing()
        self._path = path
        self._lines = source.splitlines()
        self._holders: list[str] = []

    def _add(self, kind: str, line: int, column: int, holder: str | None = None) -> None:
        # ast counts columns in bytes of UTF-8.
        text = self._lines[line - 1].encode()[:column].decode(errors="ignore")
        units = len(text.encode("utf-16-le")) // 2
        name = ".".join(self._holders) if holder is None else holder
        self.listing.sites.append(Site(kind, self._path, name, line - 1, units))

    def _reference(self, kind: str, node: ast.expr, holder: str | None = None) -> None:
        if isinstance(node, ast.Name):
            self._add(kind, node.lineno, node.col_offset, holder)
        elif isinstance(node, ast.Attribute):
            length = len(node.attr.encode())
            self._add(kind, node.end_lineno or 0, (node.end_col_offset or 0) - length, holder)

    def visit_Call(self, node: ast.Call) -> None:
        self._reference("calls", node.func)
        self.generic_visit(node)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
        dotted = ".".join([*self._holders, node.name])
        line = node.lineno
        column = self._lines[line - 1].find(node.name, node.col_offset + 3)
        self.listing.definitions[(line - 1, column)] = dotted
        for decorator in node.decorator_list:
            self.visit(decorator)
        return dotted

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._definition(node)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._body(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        dotted = self._definition(node)
        for base in node.bases:
            named = base.value if isinstance(base, ast.Subscript) else base
            self._reference("extends", named, dotted)
            self.visit(base)
        self._body(node)

    def _body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._holders.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._holders.pop()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*" and node.module != "__future__":
                self._add("imports", alias.lineno, alias.col_offset)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        if not isinstance(node.target, ast.Name):
            self.visit(node.target)


class Pyright:
    """The language server, spoken to over its pipes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process = subprocess.Popen(
            [_SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._number = 0
        self._answers: dict[int, Any] = {}
        self.request(
            "initialize",
            {
                "processId": None, "rootUri": root.as_uri(),
                "workspaceFolders": [{"uri": root.as_uri(), "name": "corpus"}],
                "capabilities": {"textDocument": {"definition": {"linkSupport": False}}},
            },
        )  # fmt: skip
        self._send({"method": "initialized", "params": {}})

    def open(self, path: str, text: str) -> None:
        """Show a file to the server."""
        document = {"uri": (self._root / path).as_uri(), "languageId": "python", "version": 1}
        self._send({"method": "textDocument/didOpen",
                    "params": {"textDocument": {**document, "text": text}}})  # fmt: skip

    def definitions(self, sites: list[Site]) -> Iterator[tuple[Site, list[tuple[str, int, int]]]]:
        """Yield for each site the path, line and column of each definition."""
        for start in range(0, len(sites), _WINDOW):
            window = sites[start : start + _WINDOW]
            numbers = [self._definition(site) for site in window]
            for site, number in zip(window, numbers, strict=True):
                yield site, [self._place(location) for location in self._wait(number) or []]

    def _definition(self, site: Site) -> int:
        return self._ask(
            "textDocument/definition",
            {
                "textDocument": {"uri": (self._root / site.path).as_uri()},
                "position": {"line": site.line, "character": site.column},
            },
        )

    def _place(self, location: dict[str, Any]) -> tuple[str, int, int]:
        path = Path(unquote(urlparse(location["uri"]).path))
        inside = path.is_relative_to(self._root)
        start = location["range"]["start"]
        relative = path.relative_to(self._root).as_posix() if inside else ""
        return relative, start["line"], start["character"]

    def request(self, method: str, parameters: dict[str, Any]) -> Any:
        """Ask and wait."""
        return self._wait(self._ask(method, parameters))

    def _ask(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        return self._number

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _wait(self, number: int) -> Any:
        assert self._process.stdout is not None
        while number not in self._answers:
            length = 0
            while (line := self._process.stdout.readline().strip()) or not length:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                elif not line and self._process.poll() is not None:
                    raise RuntimeError("pyright ended")
            message = json.loads(self._process.stdout.read(length))
            if "method" in message and "id" in message:  # the server asks; nothing is configured
                items = message.get("params", {}).get("items", []) if message.get("params") else []
                self._send({"id": message["id"], "result": [{} for _ in items]})
            elif "id" in message:
                self._answers[message["id"]] = message.get("result")
        return self._answers.pop(number)

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.communicate()


def list_sites(root: Path, paths: list[str]) -> dict[str, Listing]:
    """List sites and definitions of every file that Python can parse."""
    listings = {}
    for path in paths:
        source = (root / path).read_text(encoding="utf-8")
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        visitor = _Visitor(path, source)
        visitor.visit(tree)
        listings[path] = visitor.listing
    return listings


def ask_pyright(
    root: Path, listings: dict[str, Listing], sites: list[Site]
) -> dict[Site, set[Key]]:
    """Return the first-party definitions that each site leads to; imports by path and line."""
    server = Pyright(root)
    truth: dict[Site, set[Key]] = {}
    try:
        for path in sorted({site.path for site in sites}):
            server.open(path, (root / path).read_text(encoding="utf-8"))
        for site, places in server.definitions(sites):
            found = set()
            for path, line, column in places:
                name = listings[path].definitions.get((line, column)) if path in listings else None
                if path and site.kind == "imports":
                    found.add((path, name if name is not None else f"line {line}"))
                elif name is not None:
                    found.add((path, name.removesuffix(".__init__")))
            truth[site] = found
    finally:
        server.close()
    return truth


def our_answers(graph: Graph, sites: set[tuple[str, str, int, int]]) -> dict[Any, Key]:
    """Return our first-party target of each (kind, path, line, column) that `sites` holds."""
    locals_ = {node.id: _local(graph, node) for node in graph.nodes.values()}
    offsets = {path: _line_starts(graph, path) for path in {path for _, path, _, _ in sites}}
    answers = {}
    for edges in graph.outgoing.values():
        for edge in edges:
            target = graph.nodes[edge.dst]
            kind = {"instantiates": "calls", "implements": "extends"}.get(
                edge.relationship, edge.relationship
            )
            if target.external or edge.conf < 0.9 or edge.path not in offsets:
                continue
            content, starts = offsets[edge.path]
            line = edge.line - 1
            text = content[starts[line] : edge.start_byte].decode(errors="ignore")
            place = (kind, edge.path, line, len(text.encode("utf-16-le")) // 2)
            if place in sites:
                name = locals_[target.id]
                if kind == "imports" and target.kind in {"variable", "constant", "module"}:
                    name = f"line {max(target.start_line, 1) - 1}"
                answers[place] = (target.path, name.removesuffix(".__init__"))
    return answers


def _local(graph: Graph, node: Node) -> str:
    parts: list[str] = []
    while node.parent is not None:
        parts.append(node.name)
        node = graph.nodes[node.parent]
    return ".".join(reversed(parts))


def _line_starts(graph: Graph, path: str) -> tuple[bytes, list[int]]:
    content = graph.content(path)
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return content, starts


def compare(root: Path, *, calls: int, examples: int = 0) -> dict[str, Any]:
    """Extract `root`, ask pyright, and return precision and recall by kind."""
    root = root.resolve()
    paths = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.py"))]
    files = tuple(SourceFile(path, (root / path).stat().st_size) for path in paths)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "graph.sqlite"
        checkout = Checkout(root, root.name, "", files, ())
        extract(checkout, ExtractorConfig(languages=("python",)), out=out, cache=None,
                progress=Silent())  # fmt: skip
        graph = load_graph(out)
    listings = list_sites(root, paths)
    sites = [site for listing in listings.values() for site in listing.sites]
    if len(sites) > calls:
        sites = sorted(random.Random(17).sample(sites, calls), key=lambda s: (s.path, s.line))
    truth = ask_pyright(root, listings, sites)
    places = {site: (site.kind, site.path, site.line, site.column) for site in sites}
    ours = our_answers(graph, set(places.values()))
    result: dict[str, Any] = {"corpus": root.name, "files": len(files), "sites": len(sites)}
    for kind in ("calls", "imports", "extends"):
        result[kind] = _score(
            [site for site in sites if site.kind == kind], truth, ours, places, examples
        )
    return result


def _score(
    sites: list[Site], truth: dict[Site, set[Key]], ours: dict[Any, Key],
    places: dict[Site, tuple[str, str, int, int]], examples: int,
) -> dict[str, Any]:  # fmt: skip
    """Score by pairs of definitions: a pair is found once, however many sites show it."""
    right: set[tuple[Key, Key]] = set()
    wrong: dict[tuple[Key, Key], Site] = {}
    missed: dict[tuple[Key, Key], Site] = {}
    for site in sites:
        holder = (site.path, site.holder)
        answer = ours.get(places[site])
        if answer is not None:
            if answer in truth[site]:
                right.add((holder, answer))
            else:
                wrong[holder, answer] = site
        elif truth[site]:
            # Several places (a union, a conditional definition) are one thing to find.
            missed[holder, min(truth[site])] = site
    for pair in right:
        wrong.pop(pair, None)
        missed.pop(pair, None)
    expected = len(right) + len(missed) + sum(1 for site in wrong.values() if truth[site])
    score: dict[str, Any] = {
        "pairs": expected,
        "precision": round(len(right) / max(1, len(right) + len(wrong)), 4),
        "recall": round(len(right) / max(1, expected), 4),
    }
    if examples:
        shown = defaultdict(list)
        for name, pairs in (("wrong", wrong), ("missed", missed)):
            for (_, answer), site in sorted(pairs.items())[: examples * 50 : 50] or ():
                shown[name].append(
                    f"{site.path}:{site.line + 1}:{site.column + 1} {answer} {sorted(truth[site])}"
                )
            if name == "wrong":
                shown[name] = [
                    f"{s.path}:{s.line + 1}:{s.column + 1} {a} {sorted(truth[s])}"
                    for (_, a), s in sorted(pairs.items())[:examples]
                ]
        score |= shown
    return score


def main() -> None:
    """Print one JSON object for each folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--calls", type=int, default=4000, help="sites to ask about, drawn by seed")
    parser.add_argument("--examples", type=int, default=0, help="differences to show")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        print(json.dumps(compare(folder, calls=arguments.calls, examples=arguments.examples),
                         indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
