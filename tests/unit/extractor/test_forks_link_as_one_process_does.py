"""Files may be linked in several processes: the rows are those of one."""

import os
import signal
from pathlib import Path

import pytest

import nanodex
from nanodex.extractor.linker import LinkedUnit, Linker
from nanodex.extractor.program import Unit
from nanodex.extractor.records import pack
from nanodex.extractor.shares import link_in_shares, shares
from nanodex.extractor.tree_sitter_parser import parse

# Real code of some size: our own.
_SOURCES = sorted(Path(nanodex.__file__).parent.joinpath("extractor").rglob("*.py"))


def program() -> Linker:
    units = []
    for path in _SOURCES:
        record = parse(path.read_bytes(), language="python", dialect="python")
        name = path.relative_to(_SOURCES[0].parents[1]).as_posix()
        units.append(
            Unit(
                name, "python", "python", record.namespace, record.symbols, record.bindings,
                pack(record).uses,
            )
        )  # fmt: skip
    return Linker(units)


def rows(linker: Linker, linked: list[LinkedUnit]) -> list[object]:
    found = [
        (one.unit.path, one.edges, one.unresolved, one.raise_sites, one.attributes)
        for one in linked
    ]
    return [found, list(linker.externals.items())]


@pytest.fixture(scope="module")
def alone() -> list[object]:
    linker = program()
    return rows(linker, list(linker.link()))


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_rows_and_numbers_are_those_of_one_process(alone: list[object], processes: int) -> None:
    linker = program()

    linked = list(link_in_shares(linker, processes=processes, worthwhile_bytes=0))

    assert rows(linker, linked) == alone


def test_a_fork_that_dies_leaves_its_share_to_its_parent(
    alone: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    linker, parent, link_unit = program(), os.getpid(), Linker.link_unit

    def die_in_the_fork(self: Linker, unit: Unit) -> LinkedUnit:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return link_unit(self, unit)

    monkeypatch.setattr(Linker, "link_unit", die_in_the_fork)

    linked = list(link_in_shares(linker, processes=2, worthwhile_bytes=0))

    assert rows(linker, linked) == alone


def test_who_stops_listening_leaves_no_process_behind() -> None:
    linked = link_in_shares(program(), processes=3, worthwhile_bytes=0)
    next(linked)

    linked.close()

    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("forks", [0, 1, 3, 40])
def test_every_file_is_in_one_share_and_in_order(forks: int) -> None:
    units = program().units

    cut = shares(units, forks=forks)

    assert len(cut) == forks + 1
    assert [unit.path for share in cut for unit in share] == [unit.path for unit in units]
