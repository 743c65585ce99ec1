"""Writes a summary of a node that is true by construction: every sentence quotes the graph.

Sentences come in the order of their worth, so a text that is too long loses its end, not its point.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from nanodex.graph.reader import Graph, Node

# The base model's tokens of each text.
CountTokens = Callable[[Sequence[str]], list[int]]

_NAMES_SHOWN = 5
_SENTENCE = re.compile(r"(?<=[.!?])\s")


def summarize(
    graph: Graph, nodes: Sequence[Node], *, max_tokens: int, count_tokens: CountTokens
) -> list[str]:
    """Return what the graph proves about each of `nodes`, each in at most `max_tokens` tokens.

    Args:
        graph: the whole graph.
        nodes: first-party nodes.
        max_tokens: limit of a text, in tokens of the base model.
        count_tokens: the base model's counts for texts; asked only about those that have more bytes
            than `max_tokens`, for a token is at least one byte.
    """
    sentences = [list(_sentences(graph, node)) for node in nodes]
    texts = [" ".join(ones) for ones in sentences]
    long = [at for at, text in enumerate(texts) if len(text.encode()) > max_tokens]
    while long:
        counts = count_tokens([texts[at] for at in long])
        long = [at for at, count in zip(long, counts, strict=True) if count > max_tokens]
        for at in long:
            first = sentences[at][0]
            sentences[at].pop()
            # Where not even the first sentence fits, its bytes are cut, which bound its tokens.
            cut = first.encode()[:max_tokens].decode(errors="ignore")
            texts[at] = " ".join(sentences[at]) or cut
        long = [at for at in long if len(texts[at].encode()) > max_tokens]
    return texts


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring's first paragraph, white space folded."""
    paragraph = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)[0]
    return _SENTENCE.split(" ".join(paragraph.split()), maxsplit=1)[0]


def _sentences(graph: Graph, node: Node) -> Iterator[str]:
    article = "an" if node.kind[0] in "aeiou" else "a"
    lines = f"lines {node.start_line}-{node.end_line}"
    yield f"`{node.qualified_name}` is {article} {node.kind} in {node.path}, {lines}."
    if node.signature:
        yield f"Signature: `{node.signature}`."
    if node.docstring:
        yield f'Documented as: "{first_sentence(node.docstring)}"'
    yield from _raises(graph, node)
    for relationship, verb in (("extends", "Extends"), ("implements", "Implements")):
        yield from _listed(verb, _names(graph, node, relationship=relationship))
    yield from _listed("Overrides", _names(graph, node, relationship="overrides"))
    if node.value:
        yield f"Value: `{node.value}`."
    yield from _listed("Calls", _names(graph, node, relationship="calls"))
    yield from _listed("Called by", _sources(graph, node, relationship="calls"))
    yield from _listed("Tested by", _sources(graph, node, relationship="tests"))
    yield from _listed(
        "Reads environment variables",
        (a.value for a in graph.attributes.get(node.id, ()) if a.key == "reads_env"),
    )
    yield from _listed(
        "Defines", (graph.nodes[child].name for child in graph.children.get(node.id, ()))
    )


def _raises(graph: Graph, node: Node) -> Iterator[str]:
    said = set()
    for site in graph.raise_sites.get(node.id, ()):
        condition = " ".join(site.condition.split())
        sentence = f"Raises `{site.exception}`" + (f" when `{condition}`." if condition else ".")
        if sentence not in said:
            said.add(sentence)
            yield sentence


def _names(graph: Graph, node: Node, *, relationship: str) -> Iterator[str]:
    for edge in graph.outgoing.get(node.id, ()):
        if edge.relationship == relationship:
            yield graph.nodes[edge.dst].qualified_name


def _sources(graph: Graph, node: Node, *, relationship: str) -> Iterator[str]:
    for edge in graph.incoming.get(node.id, ()):
        if edge.relationship == relationship:
            yield graph.nodes[edge.src].qualified_name


def _listed(verb: str, names: Iterable[str]) -> Iterator[str]:
    unique = list(dict.fromkeys(names))
    if not unique:
        return
    shown = ", ".join(f"`{name}`" for name in unique[:_NAMES_SHOWN])
    more = len(unique) - _NAMES_SHOWN
    yield f"{verb} {shown}" + (f" and {more} more." if more > 0 else ".")
