"""Decides which entities are trained, which are told as text only, and which are held out.

The unit is a top-level definition with everything inside it. Copies and near-copies of code
(MinHash over word shingles) move together, or one half of a copy would tell the other.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nanodex.dataset.contents import Contents
from nanodex.dataset.draw import Draw
from nanodex.graph.reader import Graph

# Share of the units that only an explanation tells about, in percent; T2 asks about their facts.
_TEXT_ONLY_PERCENT = 5
# Fewer units than these are all trained: there is nothing to spare.
_FEWEST_UNITS = 10
_PERMUTATIONS = 64
_SIMILAR = 0.8
_SHINGLE = 4
_WORD = re.compile(rb"\w+")


@dataclass(frozen=True)
class Split:
    """Node ids of the entities that training treats apart; both sets hold whole units."""

    held_out: frozenset[int]
    text_only: frozenset[int]
    # Units that were moved because they nearly copy another one.
    near_duplicates: int

    @property
    def hidden(self) -> frozenset[int]:
        """Nodes whose facts no question of the training set asks for."""
        return self.held_out | self.text_only


def split_entities(
    graph: Graph,
    subjects: Iterable[int],
    *,
    tellable: frozenset[int],
    holdout_percent: int,
    draw: Draw,
) -> Split:
    """Split the subjects by unit.

    Args:
        graph: the whole graph.
        subjects: node ids that questions could be asked about.
        tellable: nodes with enough facts for an explanation.
        holdout_percent: share of the units to hold out, 0 to 50.
        draw: the choices of this dataset.
    """
    units: dict[int, list[int]] = defaultdict(list)
    for node in subjects:
        if graph.nodes[node].kind != "module":
            units[unit_of(graph, node)].append(node)
    if len(units) < _FEWEST_UNITS:
        return Split(frozenset(), frozenset(), 0)
    clusters = _clusters(graph, sorted(units))
    order = draw.order(clusters, "split", name=lambda c: graph.nodes[c[0]].qualified_name)
    held_out: list[int] = []
    text_only: list[int] = []
    moved = 0
    for cluster in order:
        if len(held_out) < len(units) * holdout_percent // 100:
            held_out += cluster
        elif len(text_only) < max(2, len(units) * _TEXT_ONLY_PERCENT // 100):
            if not tellable.isdisjoint(cluster):
                text_only += cluster
        else:
            break
        moved += len(cluster) - 1
    return Split(
        held_out=frozenset(node for unit in held_out for node in units[unit]),
        text_only=frozenset(node for unit in text_only for node in units[unit]),
        near_duplicates=moved,
    )


def unit_of(graph: Graph, node: int) -> int:
    """Return the top-level definition around a node."""
    row = graph.nodes[node]
    while row.parent is not None and graph.nodes[row.parent].kind != "module":
        row = graph.nodes[row.parent]
    return row.id


def _clusters(graph: Graph, units: Sequence[int]) -> list[list[int]]:
    """Group units whose code is nearly the same; most groups have one member."""
    # Imported late: datasketch imports scipy's integration, seconds that only this stage pays.
    from datasketch import MinHash, MinHashLSH

    seed = MinHash(num_perm=_PERMUTATIONS)
    index = MinHashLSH(threshold=_SIMILAR, num_perm=_PERMUTATIONS)
    leader: dict[int, int] = {}
    contents = Contents(graph)
    for unit in units:
        shingles = _shingles(graph, unit, contents)
        if not shingles:
            leader[unit] = unit
            continue
        minhash = seed.copy()
        minhash.update_batch(shingles)
        similar = sorted(int(found) for found in index.query(minhash))
        leader[unit] = leader[similar[0]] if similar else unit
        index.insert(str(unit), minhash)
    clusters: Mapping[int, list[int]] = defaultdict(list)
    for unit in units:
        clusters[leader[unit]].append(unit)
    return list(clusters.values())


def _shingles(graph: Graph, unit: int, contents: Contents) -> list[bytes]:
    node = graph.nodes[unit]
    words = _WORD.findall(contents[node.path][node.start_byte : node.end_byte])
    # A copy under another name is a copy.
    own_name = node.name.encode()
    words = [b"" if word == own_name else word for word in words]
    last = len(words) - _SHINGLE + 1
    # Below a dozen words code is alike by nature (an empty exception class), not by copying.
    return [b" ".join(words[i : i + _SHINGLE]) for i in range(last)] if last > 12 else []
