"""The gates of the dataset: a fact is proven by bytes, a prompt has one answer.

Nothing here trusts the graph: each claim is looked up again in the source at its span.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from nanodex.api.records import Example, Message
from nanodex.dataset.contents import Contents
from nanodex.dataset.facts import Claim
from nanodex.graph.reader import Graph, Node

# Bytes before a definition that may hold its documentation comment.
_COMMENT_BYTES = 4000
_COMMENT_MARKS = re.compile(rb"(?m)^\s*(///?|/\*\*?|\*/|\*|#)")


class Prover:
    """Proves claims from the source that the graph carries."""

    def __init__(self, graph: Graph, *, contents: Contents) -> None:
        self._graph = graph
        self._contents = contents
        self._genuine: dict[str, bool] = {}

    def proves(self, claim: Claim) -> bool:
        """Whether the bytes at the claim's span say what the claim says."""
        span = claim.fact.span
        content = self._content(span.path, claim.fact.blob)
        if content is None or not 0 <= span.start <= span.end <= len(content):
            return False
        said = content[span.start : span.end]
        node = self._graph.nodes[claim.node]
        text = claim.fact.object
        match claim.family:
            case "location":
                return said == node.name.encode() and span.path == text
            case "kind":
                return _declares(node, content)
            case "docstring":
                before = max(0, span.start - _COMMENT_BYTES)
                return _folded(text) in _folded_comment(content[before : span.end])
            case "route":
                return all(_whole(part, said) for part in text.split(" ")[-1:])
            case "signature" | "returns" | "value" | "condition" | "usage" | "message":
                return _squeezed(text.encode()) in _squeezed(said)
            case "called_by":
                # The reference stands in the caller and names the subject.
                return _whole(node.name, said)
            case "tested_by":
                return _whole(node.name, said)
            case "imports":
                return self._names_module(text, content, span.start, span.end)
            case _:
                return _whole(text.rsplit(".", 1)[-1], said)

    def _content(self, path: str, blob: str) -> bytes | None:
        """Return the bytes of a file if they are those that `blob` names."""
        file = self._graph.files.get(path)
        if file is None or file.blob != blob or file.content is None:
            return None
        content = self._contents[path]
        if path not in self._genuine:
            self._genuine[path] = hashlib.sha256(content).hexdigest() == blob
        return content if self._genuine[path] else None

    def _names_module(self, module: str, content: bytes, start: int, end: int) -> bool:
        """Whether the import statement around a reference names the module's last segment."""
        line_start = content.rfind(b"\n", 0, start) + 1
        # from a.b import (\n  c,\n): the module stands before the reference, at most lines above.
        opening = content.rfind(b"import", 0, end)
        first = min(line_start, content.rfind(b"\n", 0, max(opening, 0)) + 1)
        stop = content.find(b"\n", end)
        return _whole(module.rsplit(".", 1)[-1], content[first : stop if stop >= 0 else None])


def _declares(node: Node, content: bytes) -> bool:
    """Whether the definition's head has the keyword of the node's kind, where one exists."""
    if content[node.name_start : node.name_end] != node.name.encode():
        return False
    head = content[node.start_byte : node.end_byte].split(b"{")[0].split(b":\n")[0]
    keywords = {
        "class": (b"class", b"struct", b"record"),
        "interface": (b"interface", b"Protocol", b"class"),
    }
    wanted = keywords.get(node.kind, ())
    return not wanted or any(word in head for word in wanted)


def _whole(word: str, text: bytes) -> bool:
    return re.search(rb"(?<!\w)" + re.escape(word.encode()) + rb"(?!\w)", text) is not None


def _folded(text: str) -> bytes:
    return b" ".join(text.encode().split())


def _folded_comment(text: bytes) -> bytes:
    return b" ".join(_COMMENT_MARKS.sub(b"", text).split())


def _squeezed(text: bytes) -> bytes:
    return b"".join(text.split())


def prompt_of(messages: Sequence[Message]) -> str:
    """Return what the user says, folded so that case and white space do not tell prompts apart."""
    said = next(message.content for message in messages if message.role == "user")
    return " ".join(said.casefold().split())


def one_answer(examples: Iterable[Example]) -> tuple[list[Example], int]:
    """Keep one example of each prompt and drop every prompt that has two answers.

    Returns:
        The examples in their order, and how many were dropped.
    """
    found: dict[str, Example] = {}
    contradicted: set[str] = set()
    total = 0
    for example in examples:
        total += 1
        prompt = prompt_of(example.messages)
        first = found.setdefault(prompt, example)
        if first.messages[-1].content != example.messages[-1].content:
            contradicted.add(prompt)
    kept = [example for prompt, example in found.items() if prompt not in contradicted]
    return kept, total - len(kept)
