"""Takes facts out of the graph: who says what about whom, and at which bytes.

A fact here is a claim; nanodex.dataset.validators proves it from the source before it is taught.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nanodex.api.records import Fact, NodeRecord, NodeType, Predicate, Span
from nanodex.dataset.contents import Contents
from nanodex.dataset.naming import Names
from nanodex.dataset.templates import FAMILIES
from nanodex.graph.reader import Edge, Graph, Node

# Rules of the brain whose nodes show the repository in use; they are evidence, not subjects.
EVIDENCE_RULES = frozenset({"test", "example", "test-support", "test-file"})
_SUBJECT_KINDS = frozenset(
    {"module", "class", "interface", "enum", "function", "method", "constant", "exception"}
)
_NOTHING = frozenset({"None", "void", "Void", "undefined"})
_LONGEST_OBJECT = 120
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_BLANK_LINE = re.compile(r"\n\s*\n")


class Claim(NamedTuple):
    """A fact, the node it is about and the family of wordings that asks for it."""

    family: str
    node: int
    fact: Fact


class FactCollector:
    """Reads the claims of one graph."""

    def __init__(
        self,
        graph: Graph,
        *,
        names: Names,
        records: Mapping[int, NodeRecord],
        min_confidence: float,
    ) -> None:
        self.graph = graph
        self.contents = Contents(graph)
        self.names = names
        self._records = records
        self._min_confidence = min_confidence

    def is_evidence(self, node: int) -> bool:
        """Whether a node belongs to tests or examples, or to a file that the brain did not see."""
        record = self._records.get(node)
        return record is None or record.rule in EVIDENCE_RULES

    def subjects(self) -> Iterator[Node]:
        """Yield the nodes that questions are asked about."""
        for node in self.graph.nodes.values():
            if (
                node.kind in _SUBJECT_KINDS
                and self.names.label(node.id) is not None
                and not self.is_evidence(node.id)
                and not self._is_special(node)
                and self.graph.files[node.path].content is not None
            ):
                yield node

    def _is_special(self, node: Node) -> bool:
        """Whether the language calls a member, not people: constructor, destructor, dunder."""
        parent = self.graph.nodes[node.parent].name if node.parent is not None else ""
        dunder = node.name.startswith("__") and node.name.endswith("__")
        return dunder or node.name in ("constructor", parent) or node.name.startswith("~")

    def usefulness(self, node: Node) -> tuple[int, int]:
        """Return how much a node matters, greatest first when sorted: its type, its users."""
        kind = self._records[node.id].type
        order = {NodeType.CAPABILITY: 0, NodeType.ERROR: 0, NodeType.RECIPE: 1, NodeType.MODULE: 2}
        return order.get(kind, 3), -len(self.graph.incoming.get(node.id, ()))

    def claims(self, node: Node) -> Iterator[Claim]:
        """Yield everything that the graph says about one subject."""
        whole = self._span(node, node.start_byte, node.end_byte)
        name = self._span(node, node.name_start, node.name_end)
        if node.kind != "module":
            yield self._claim("location", node, node.path, span=name, rule="definition")
            yield self._claim("kind", node, node.kind, span=whole, rule="definition")
        for family, text in (
            ("signature", node.signature),
            ("returns", "" if node.returns in _NOTHING else node.returns),
            ("value", node.value),
        ):
            if _sayable(text) and (family != "signature" or node.kind in ("function", "method")):
                yield self._claim(family, node, text, span=whole, rule="definition")
        if node.docstring:
            sentence = first_sentence(node.docstring).removesuffix(".")
            if _sayable(sentence) and " " in sentence:
                yield self._claim("docstring", node, sentence, span=whole, rule="docstring")
        for parameter in self.graph.parameters.get(node.id, ()):
            if parameter.name.lstrip("*&.") not in ("self", "cls", "this", ""):
                yield self._claim(
                    "parameter",
                    node,
                    parameter.name.lstrip("*&."),
                    span=self._span(node, parameter.start_byte, parameter.end_byte),
                    rule="definition",
                )
        yield from self._relations(node)
        for attribute in self.graph.attributes.get(node.id, ()):
            if attribute.key in ("reads_env", "route") and _sayable(attribute.value):
                yield self._claim(
                    attribute.key,
                    node,
                    attribute.value,
                    span=Span(
                        path=attribute.path,
                        start=attribute.start_byte,
                        end=attribute.end_byte,
                        line=attribute.line,
                    ),
                    rule="attribute",
                )

    def _relations(self, node: Node) -> Iterator[Claim]:
        outgoing = self.graph.outgoing.get(node.id, ())
        raised = {edge.dst for edge in outgoing if edge.relationship == "raises"}
        for edge in outgoing:
            family = _OUTGOING.get(edge.relationship)
            if family is None or edge.conf < self._min_confidence or edge.dst == node.id:
                continue
            target = self.graph.nodes[edge.dst]
            if family == "imports":
                target = self._module_of(target)
            if target.external and family in ("calls", "imports"):
                continue
            if family == "calls" and edge.dst in raised:
                continue  # `raise Oops()` builds an Oops, but nobody would say that it calls it
            label = self.names.label(target.id)
            if label is not None and target.id != node.id and not self.is_test(target):
                yield self._edge_claim(family, node, label, edge)
        for edge in self.graph.incoming.get(node.id, ()):
            if edge.conf < self._min_confidence or edge.src == node.id:
                continue
            label = self.names.label(edge.src)
            if label is None:
                continue
            if edge.relationship == "tests":
                yield self._edge_claim("tested_by", node, label, edge)
            elif self._is_call_of(node, edge):
                yield self._edge_claim("called_by", node, label, edge)

    def _is_call_of(self, node: Node, edge: Edge) -> bool:
        """Whether an edge is a call that people would name; building an error is none."""
        return (
            edge.relationship in ("calls", "instantiates")
            and not self.is_evidence(edge.src)
            and self._records[node.id].type is not NodeType.ERROR
        )

    def is_test(self, node: Node) -> bool:
        """Whether a first-party node is part of tests or examples."""
        return not node.external and self.is_evidence(node.id)

    def _module_of(self, node: Node) -> Node:
        while node.kind != "module" and node.parent is not None:
            node = self.graph.nodes[node.parent]
        return node

    def _span(self, node: Node, start: int, end: int) -> Span:
        return Span(path=node.path, start=start, end=end, line=max(node.start_line, 1))

    def _edge_claim(self, family: str, node: Node, label: str, edge: Edge) -> Claim:
        span = Span(path=edge.path, start=edge.start_byte, end=edge.end_byte, line=edge.line)
        return self._claim(family, node, label, span=span, rule=edge.rule, conf=edge.conf)

    def _claim(
        self, family: str, node: Node, text: str, *, span: Span, rule: str, conf: float = 1.0
    ) -> Claim:
        fact = make_fact(
            self.graph,
            subject=node.qualified_name,
            predicate=FAMILIES[family].predicate,
            text=text,
            span=span,
            rule=rule,
            conf=conf,
        )
        return Claim(family, node.id, fact)


def make_fact(
    graph: Graph,
    *,
    subject: str,
    predicate: Predicate,
    text: str,
    span: Span,
    rule: str,
    conf: float,
) -> Fact:
    """Return a fact with its id, which is the hash of what it says."""
    said = "\0".join((subject, predicate.value, text))
    return Fact(
        id=hashlib.sha256(said.encode()).hexdigest()[:16],
        subject=subject,
        predicate=predicate,
        object=text,
        span=span,
        blob=graph.files[span.path].blob,
        rule=rule,
        conf=f"{conf:g}",
    )


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring's first paragraph, white space folded."""
    paragraph = _BLANK_LINE.split(docstring.strip(), maxsplit=1)[0]
    return _SENTENCE.split(" ".join(paragraph.split()), maxsplit=1)[0]


def _sayable(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_OBJECT and not any(mark in text for mark in "`\n\r\0")


_OUTGOING = {
    "calls": "calls",
    "instantiates": "calls",
    "imports": "imports",
    "extends": "extends",
    "implements": "implements",
    "overrides": "overrides",
    "raises": "raises",
}
