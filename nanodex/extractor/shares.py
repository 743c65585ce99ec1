"""Links the last files in forked processes while the first are linked and written in this one.

A fork sees the whole program without a copy of it. What a file's references mean does not depend on
which files were linked before it, so the rows are those of one process. A fork is not told what to
do by anybody and reads nothing: it is our own code over our own memory. One that dies, for want of
memory for instance, leaves its share to its parent.
"""

import os
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from nanodex.extractor.frames import Closed, receive, send
from nanodex.extractor.linker import EdgeRow, ExternalSymbol, LinkedUnit, Linker, UnresolvedRow
from nanodex.extractor.program import Unit
from nanodex.extractor.records import Attribute, RaiseSite

# Below this many bytes of packed references a fork costs more than it saves.
_WORTHWHILE_BYTES = 1 << 20
# Writing a row takes about as long as a third of linking it, and only this process writes.
_WRITING = 0.35


class _Rows(NamedTuple):
    """What a fork says of one file; external symbols are numbered as the fork met them."""

    edges: list[EdgeRow]
    unresolved: list[UnresolvedRow]
    raise_sites: list[RaiseSite]
    attributes: list[Attribute]
    new_externals: list[ExternalSymbol]


_ROWS = msgspec.json.Decoder(_Rows)


def link_in_shares(
    linker: Linker, *, processes: int, worthwhile_bytes: int = _WORTHWHILE_BYTES
) -> Generator[LinkedUnit, None, None]:
    """Yield the rows of each file, in order of path: the same as `linker.link()` yields.

    Args:
        linker: of the whole program; nothing was linked by it yet.
        processes: how many may work, this one included.
        worthwhile_bytes: packed references below which no process is forked.
    """
    size = sum(len(unit.packed_uses) for unit in linker.units)
    forks = processes - 1 if hasattr(os, "fork") and size >= worthwhile_bytes else 0
    mine, *others = shares(linker.units, forks=forks)
    with ExitStack() as stack:
        working = [stack.enter_context(_Fork(linker, share)) for share in others]
        yield from map(linker.link_unit, mine)
        for fork in working:
            yield from fork.rows()


def shares(units: Sequence[Unit], *, forks: int) -> list[Sequence[Unit]]:
    """Cut `units` into runs that take about as long: the first one also writes all rows."""
    each = (1 + _WRITING) / (forks + 1)
    cuts = [max(0.0, each - _WRITING)]
    cuts += [cuts[0] + (1 - cuts[0]) * number / forks for number in range(1, forks + 1)]
    done = list(accumulate((len(unit.packed_uses) for unit in units), initial=0))
    ends = [sum(size <= cut * done[-1] for size in done[1:]) for cut in cuts[:-1]] + [len(units)]
    return [units[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class _Fork:
    """A process that links a share and then tells its rows."""

    def __init__(self, linker: Linker, share: Sequence[Unit]) -> None:
        self._linker = linker
        self._share = share
        self._process = 0
        self._answers = -1

    def __enter__(self) -> Self:
        self._answers, outgoing = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of locks that other threads may hold. The fork takes none.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = os.fork()
        if self._process == 0:
            self._work(outgoing)
        os.close(outgoing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._answers)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    def rows(self) -> Iterator[LinkedUnit]:
        """Yield the rows of the share, in order of path."""
        externals: list[ExternalSymbol] = []
        first = self._linker.program.node_count + 1

        def here(edge: EdgeRow) -> EdgeRow:
            if edge.dst < first:
                return edge
            return edge._replace(dst=self._linker.external(externals[edge.dst - first]))

        for position, unit in enumerate(self._share):
            try:
                rows = _ROWS.decode(receive(self._answers))
            except Closed:
                yield from map(self._linker.link_unit, self._share[position:])
                return
            externals += rows.new_externals
            for symbol in rows.new_externals:
                # In the order in which one process would have met them.
                self._linker.external(symbol)
            yield LinkedUnit(
                unit,
                edges=sorted(map(here, rows.edges)),
                unresolved=rows.unresolved,
                raise_sites=rows.raise_sites,
                attributes=rows.attributes,
            )

    def _work(self, outgoing: int) -> None:
        """Link the share; never returns. All rows at once: the parent is busy until then."""
        try:
            frames = []
            known = 0
            for linked in map(self._linker.link_unit, self._share):
                externals = list(self._linker.externals)
                rows = _Rows(
                    linked.edges,
                    linked.unresolved,
                    linked.raise_sites,
                    linked.attributes,
                    externals[known:],
                )
                known = len(externals)
                frames.append(msgspec.json.encode(rows))
            send(outgoing, *frames)
        finally:
            # Not by way of the parent's own clean-up.
            os._exit(0)
