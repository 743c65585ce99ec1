"""What the page says about the graph: files, nodes, edges, and what stayed unresolved."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nanodex.api.records import NodeRecord
from nanodex.graph.reader import Graph

# Every edge is a reference that was resolved, but for the ones that the syntax alone gives.
_WITHOUT_REFERENCE = {"defines"}


@dataclass(frozen=True)
class Share:
    """One bar of a chart: `count` of the whole; `part` is its share of the longest bar, 0 to 1."""

    label: str
    count: int
    part: float


@dataclass(frozen=True)
class LanguageCoverage:
    """How many files of a language were read."""

    language: str
    parsed: int
    skipped: int
    failed: int
    lines: int
    reasons: str


@dataclass(frozen=True)
class RelationshipRow:
    """How the references of one relationship were resolved."""

    relationship: str
    resolved: int
    unresolved: int
    rules: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]

    @property
    def rate(self) -> float:
        """Share of the references that a rule resolved, 0 to 1."""
        return self.resolved / max(self.resolved + self.unresolved, 1)


@dataclass(frozen=True)
class GraphView:
    """The graph in numbers."""

    repository: str
    snapshot: str
    files: int
    parsed: int
    lines: int
    languages: tuple[LanguageCoverage, ...]
    skipped: tuple[Share, ...]
    types: tuple[Share, ...]
    kinds: tuple[Share, ...]
    relationships: tuple[RelationshipRow, ...]
    edges: int

    @property
    def resolution(self) -> float:
        """Share of all references that a rule resolved, 0 to 1."""
        rows = [row for row in self.relationships if row.relationship not in _WITHOUT_REFERENCE]
        resolved = sum(row.resolved for row in rows)
        return resolved / max(resolved + sum(row.unresolved for row in rows), 1)


def view_graph(coverage: Graph, brain: Graph, nodes: Iterable[NodeRecord]) -> GraphView:
    """Count.

    Args:
        coverage: the graph whose files are counted, that of extract where it is at hand.
        brain: the graph whose nodes and edges are counted.
        nodes: the brain's records; first-party nodes only.
    """
    files = coverage.files.values()
    parsed = [file for file in files if file.status == "parsed"]
    types = Counter(node.type.value for node in nodes)
    kinds = Counter(node.kind for node in brain.nodes.values())
    left_out = Counter(file.reason or "no reason" for file in files if file.status != "parsed")
    return GraphView(
        repository=brain.meta.get("repository", ""),
        snapshot=brain.meta.get("snapshot", ""),
        files=len(coverage.files),
        parsed=len(parsed),
        lines=sum(file.lines for file in parsed),
        languages=_languages(coverage),
        skipped=shares(left_out),
        types=shares(types),
        kinds=shares(kinds),
        relationships=_relationships(brain),
        edges=sum(len(edges) for edges in brain.outgoing.values()),
    )


def shares(counts: Counter[str] | dict[str, int]) -> tuple[Share, ...]:
    """Return the counts, largest first, each with its share of the largest."""
    largest = max(counts.values(), default=0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(label, count, count / max(largest, 1)) for label, count in ordered)


def _languages(graph: Graph) -> tuple[LanguageCoverage, ...]:
    rows = []
    for language in sorted({file.language for file in graph.files.values()}):
        files = [file for file in graph.files.values() if file.language == language]
        status = Counter(file.status for file in files)
        reasons = Counter(file.reason for file in files if file.status != "parsed")
        rows.append(
            LanguageCoverage(
                language=language or "other files",
                parsed=status["parsed"],
                skipped=len(files) - status["parsed"] - status["failed"],
                failed=status["failed"],
                lines=sum(file.lines for file in files if file.status == "parsed"),
                reasons=", ".join(f"{count} {name}" for name, count in reasons.most_common()),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.parsed, row.language)))


def _relationships(graph: Graph) -> tuple[RelationshipRow, ...]:
    rules: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for edges in graph.outgoing.values():
        for edge in edges:
            rules.setdefault(edge.relationship, Counter())[edge.rule] += 1
    for references in graph.unresolved.values():
        for reference in references:
            reasons.setdefault(reference.relationship, Counter())[reference.reason] += 1
    rows = [
        RelationshipRow(
            relationship=name,
            resolved=rules.get(name, Counter()).total(),
            unresolved=reasons.get(name, Counter()).total(),
            rules=_ordered(rules.get(name, Counter())),
            reasons=_ordered(reasons.get(name, Counter())),
        )
        for name in {*rules, *reasons}
    ]
    return tuple(sorted(rows, key=lambda row: (-row.resolved, row.relationship)))


def _ordered(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
