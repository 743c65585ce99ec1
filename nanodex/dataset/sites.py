"""Facts that stand at one place of the code: what makes it raise, and a real call to copy."""

import re
from collections.abc import Iterator

from nanodex.api.records import Span
from nanodex.dataset.facts import Claim, FactCollector, make_fact
from nanodex.dataset.templates import FAMILIES
from nanodex.graph.reader import Edge, Graph, Node, RaiseSite

_LONGEST_TEXT = 80
_LONGEST_CALL = 90
_CHAIN = re.compile(rb"[\w.]*\Z")
_CLOSING = {ord("("): ord(")"), ord("["): ord("]"), ord("{"): ord("}")}


def raise_claims(graph: Graph, node: Node) -> Iterator[Claim]:
    """Yield the condition under which `node` raises and the messages it raises with.

    A condition is claimed only of a function with one raise site: with two, "when does it fail"
    has no short true answer.
    """
    sites = graph.raise_sites.get(node.id, [])
    for site in sites:
        condition = " ".join(site.condition.split())
        if len(sites) == 1 and 0 < len(condition) <= _LONGEST_TEXT and "`" not in condition:
            yield _site_claim(graph, "condition", node, condition, site)
        message = site.message
        if " " in message and len(message) <= _LONGEST_TEXT and not set(message) & set('`"\n\\{}'):
            yield _site_claim(graph, "message", node, message, site)


def _site_claim(graph: Graph, family: str, node: Node, text: str, site: RaiseSite) -> Claim:
    # The condition stands before the raise, so the span is the whole function.
    start, end = (
        (node.start_byte, node.end_byte)
        if family == "condition"
        else (site.start_byte, site.end_byte)
    )
    fact = make_fact(
        graph,
        subject=node.qualified_name,
        predicate=FAMILIES[family].predicate,
        text=text,
        span=Span(path=site.path, start=start, end=end, line=site.line),
        rule="raise-site",
        conf=1.0,
    )
    return Claim(family, node.id, fact)


def usage_claims(collector: FactCollector, node: Node) -> Iterator[Claim]:
    """Yield the shortest verbatim call of `node` that tests or examples hold."""
    graph = collector.graph
    calls: list[tuple[int, str, int, Edge, int]] = []
    for edge in graph.incoming.get(node.id, ()):
        if edge.relationship not in ("calls", "instantiates") or edge.conf < 0.9:
            continue
        if not collector.is_evidence(edge.src):
            continue
        found = call_at(collector.contents[edge.path], edge.start_byte, edge.end_byte)
        if found is not None:
            start, text = found
            calls.append((len(text), edge.path, start, edge, start + len(text.encode())))
    if not calls:
        return
    _, path, start, edge, end = min(calls, key=lambda call: call[:3])
    fact = make_fact(
        graph,
        subject=node.qualified_name,
        predicate=FAMILIES["usage"].predicate,
        text=collector.contents[path][start:end].decode(),
        span=Span(path=path, start=start, end=end, line=edge.line),
        rule=edge.rule,
        conf=edge.conf,
    )
    yield Claim("usage", node.id, fact)


def call_at(content: bytes, start: int, end: int) -> tuple[int, str] | None:
    """Return start and text of the call around the reference `content[start:end]`.

    None where the call spans lines, is longer than a line of an answer, or does not close.
    """
    line_start = content.rfind(b"\n", 0, start) + 1
    chain = _CHAIN.search(content[line_start:start])
    if chain is not None:
        start = line_start + chain.start()
    position = content.find(
        b"(", max(end - 1, start) if content[start:end].endswith(b"(") else start
    )
    if position < 0 or b"\n" in content[start:position]:
        return None
    closing: list[int] = []
    quote = 0
    for index in range(position, min(len(content), start + _LONGEST_CALL)):
        byte = content[index]
        if byte == 0x0A:
            return None
        if quote:
            if byte == quote and content[index - 1] != 0x5C:
                quote = 0
        elif byte in (0x22, 0x27):
            quote = byte
        elif byte in _CLOSING:
            closing.append(_CLOSING[byte])
        elif closing and byte == closing[-1]:
            closing.pop()
            if not closing:
                text = content[start : index + 1].decode(errors="replace")
                plain = not set(text) & set("`\ufffd")
                return (start, text) if plain else None
    return None
