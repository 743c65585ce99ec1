"""The engine converges to the desired set, and nothing unproved is ever served."""

import asyncio
import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.agent_report import AdapterState, EngineState
from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.engine_arguments import Device
from nanodex.api.reasons import Reason
from nanodex.inference.directory import Directory, NotReady, Route
from nanodex.inference.engine_client import EngineUnreachable
from nanodex.inference.loading import Limits
from nanodex.inference.metrics import AgentMetrics
from nanodex.inference.residency import residency_of
from nanodex.inference.sources import FolderSource
from nanodex.inference.sync import Synchroniser
from tests.engine_stand_in import LINEAR

Make = Callable[..., Path]


def expert(folder: Path, number: int = 1, *, name: str = "team/a", **fields: Any) -> ServedExpert:
    return ServedExpert(name=name, digest=f"sha256:{number:012x}{0:052x}", folder=folder, **fields)


def desired(*experts: ServedExpert) -> DesiredSet:
    return DesiredSet(generation=1, experts=experts)


@pytest.fixture
def directory() -> Directory:
    return Directory(engine=EngineState.READY)


@pytest.fixture
def make_sync(stand_in: Any, directory: Directory, tmp_path: Path) -> Callable[..., Synchroniser]:
    def make(*, resident: int = 8, device: Device = "cuda") -> Synchroniser:
        return Synchroniser(
            stand_in[1],
            directory=directory,
            source=FolderSource(tmp_path / "adapters"),
            residency=residency_of(device, stand_in[1]),
            root=tmp_path / "adapters",
            limits=Limits(linear=LINEAR, max_rank=32, parity=0.005, resident=resident),
            metrics=AgentMetrics(),
        )

    return make


def states(directory: Directory) -> list[AdapterState]:
    return [adapter.state for adapter in directory.adapters]


async def find(directory: Directory, model: str) -> Route:
    """What a request for a model does."""
    while (route := directory.route(model)) is None:
        await directory.arrival(model, since=asyncio.get_running_loop().time())
    return route


async def test_a_missing_adapter_is_loaded_from_its_own_folder_and_answers(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make, tmp_path: Path
) -> None:
    wanted = expert(make_adapter("a"))

    await make_sync().converge(desired(wanted))

    assert stand_in[0].adapters == {
        "team.a--000000000001": str(tmp_path / "adapters" / wanted.digest.replace(":", "-"))
    }
    assert directory.models() == ("base", "team/a", "team/a@000000000001")
    assert states(directory) == [AdapterState.LOADED]


async def test_a_second_pass_changes_nothing(
    make_sync: Any, stand_in: Any, make_adapter: Make
) -> None:
    sync, wanted = make_sync(), desired(expert(make_adapter("a")))
    await sync.converge(wanted)
    before = len(stand_in[0].requests)

    await sync.converge(wanted)

    assert len(stand_in[0].requests) == before


async def test_an_adapter_that_the_engine_lost_is_loaded_again(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync, wanted = make_sync(), desired(expert(make_adapter("a")))
    await sync.converge(wanted)
    stand_in[0].adapters.clear()

    await sync.converge(wanted)

    assert list(stand_in[0].adapters) == ["team.a--000000000001"]
    assert states(directory) == [AdapterState.LOADED]


async def test_an_adapter_under_our_name_from_another_folder_is_replaced(
    make_sync: Any, stand_in: Any, make_adapter: Make
) -> None:
    stand_in[0].adapters["team.a--000000000001"] = "/somewhere/else"

    await make_sync().converge(desired(expert(make_adapter("a"))))

    assert "/somewhere/else" not in stand_in[0].adapters.values()
    assert all(
        body.get("load_inplace") is None for body in stand_in[0].asked("/v1/load_lora_adapter")
    )


async def test_an_adapter_that_the_engine_ignores_is_unloaded_and_reported(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    stand_in[0].ignored.add("team.bad--000000000002")
    good = expert(make_adapter("good"))
    bad = expert(make_adapter("bad", seed=2), 2, name="team/bad")

    await make_sync().converge(desired(bad, good))

    assert list(stand_in[0].adapters) == ["team.a--000000000001"]
    assert states(directory) == [AdapterState.QUARANTINED, AdapterState.LOADED]
    assert directory.adapters[0].reason is Reason.LOAD_REJECTED
    assert "answers as the base model does" in directory.adapters[0].message
    with pytest.raises(NotReady, match="as the base model"):
        await find(directory, "team/bad")


async def test_a_refused_file_never_reaches_the_engine(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    await make_sync().converge(desired(expert(make_adapter("a", use_dora=True))))

    assert stand_in[0].asked("/v1/load_lora_adapter") == []
    assert directory.adapters[0].reason is Reason.NOT_SERVABLE


async def test_a_pickle_beside_the_adapter_keeps_it_out(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    folder = make_adapter("a")
    (folder / "training_args.bin").write_bytes(b"")

    await make_sync().converge(desired(expert(folder)))

    assert stand_in[0].asked("/v1/load_lora_adapter") == []
    assert "unpickled" in directory.adapters[0].message


async def test_an_adapter_that_takes_the_engine_down_is_blamed_the_second_time(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    stand_in[0].crashes_on.add("team.a--000000000001")
    sync, wanted = make_sync(), desired(expert(make_adapter("a")))
    for _ in range(2):
        with pytest.raises(EngineUnreachable):
            await sync.converge(wanted)
        sync.engine_is_empty(wanted)

    await sync.converge(wanted)

    assert states(directory) == [AdapterState.QUARANTINED]
    assert len(stand_in[0].asked("/v1/load_lora_adapter")) == 2


async def test_the_old_version_answers_until_the_new_one_is_proved(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync = make_sync()
    old, new = expert(make_adapter("a"), 1), expert(make_adapter("b", seed=2), 2)
    await sync.converge(desired(old))
    stand_in[0].ignored.add(new.engine_name)

    await sync.converge(desired(new))
    assert (await find(directory, "team/a")).public_name == old.pinned_name
    assert old.engine_name in stand_in[0].adapters

    newer = expert(make_adapter("c", seed=3), 3)
    await sync.converge(desired(newer))
    assert (await find(directory, "team/a")).public_name == newer.pinned_name
    assert list(stand_in[0].adapters) == [newer.engine_name]


async def test_a_version_in_use_is_not_unloaded(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync = make_sync()
    await sync.converge(desired(expert(make_adapter("a"))))
    route = await find(directory, "team/a")

    with directory.using(route):
        await sync.converge(desired())
        assert route.engine_name in stand_in[0].adapters
    await sync.converge(desired())
    assert stand_in[0].adapters == {}


async def test_only_the_active_version_has_the_bare_name(
    make_sync: Any, directory: Directory, make_adapter: Make
) -> None:
    old, new = make_adapter("a"), make_adapter("b", seed=2)

    await make_sync().converge(desired(expert(old, 1, active=False), expert(new, 2)))

    assert (await find(directory, "team/a")).public_name == "team/a@000000000002"
    assert (await find(directory, "team/a@000000000001")).engine_name == "team.a--000000000001"


def many(make_adapter: Make, names: Iterable[str]) -> list[ServedExpert]:
    return [
        expert(make_adapter(name, seed=seed), seed, name=f"team/{name}")
        for seed, name in enumerate(names, start=1)
    ]


async def settle(sync: Synchroniser, wanted: DesiredSet) -> None:
    while await sync.converge(wanted):
        pass


@pytest.mark.parametrize("device", ["cpu", "cuda"])
async def test_more_than_fits_is_proved_one_by_one_and_comes_back_when_it_is_asked_for(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make, device: Device
) -> None:
    sync, wanted = make_sync(resident=2, device=device), desired(*many(make_adapter, "abcde"))
    # The moment that is left to those who waited for it passes at once.
    directory.clock = count(step=10).__next__

    await settle(sync, wanted)

    assert len(stand_in[0].adapters) == 2
    assert sorted(states(directory)) == [AdapterState.LOADED] * 2 + [AdapterState.STANDBY] * 3
    assert {f"team/{name}" for name in "abcde"} < set(directory.models())

    away = next(one for one in wanted.experts if one.engine_name not in stand_in[0].adapters)
    asked = asyncio.create_task(find(directory, away.name))
    await asyncio.sleep(0)
    await settle(sync, wanted)

    assert (await asked).engine_name == away.engine_name
    assert len(stand_in[0].adapters) == 2
    if device == "cpu":
        # Base requests would be answered from the third slot, were it filled.
        assert stand_in[0].most_slots == 2


async def test_of_many_eight_are_loaded_and_the_rest_comes_back_when_it_is_asked_for(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    names = [f"x{number:03}" for number in range(40)]
    sync, wanted = make_sync(resident=8), desired(*many(make_adapter, names))
    directory.clock = count(step=10).__next__

    await settle(sync, wanted)

    assert len(stand_in[0].adapters) == 8
    assert sorted(states(directory)) == [AdapterState.LOADED] * 8 + [AdapterState.STANDBY] * 32
    assert len(directory.models()) == 1 + 2 * 40
    for name in ("team/x000", "team/x010", "team/x020", "team/x000"):
        used_last = max(stand_in[0].adapters, key=lambda one: directory.last_used.get(one, 0.0))
        asked = asyncio.create_task(find(directory, name))
        await asyncio.sleep(0)
        await settle(sync, wanted)
        assert (await asked).public_name.startswith(f"{name}@")
        assert len(stand_in[0].adapters) == 8
        assert used_last in stand_in[0].adapters


async def test_an_adapter_in_use_stays_and_the_one_used_longest_ago_goes(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync, experts = make_sync(resident=3), many(make_adapter, "abcd")
    directory.clock = count(step=10).__next__
    await settle(sync, desired(*experts[:3]))
    routes = [await find(directory, one.name) for one in experts[:3]]
    with directory.using(routes[2]):
        pass
    with directory.using(routes[1]):
        pass

    with directory.using(routes[0]):
        await settle(sync, desired(*experts))

    assert sorted(stand_in[0].adapters) == [
        experts[0].engine_name, experts[1].engine_name, experts[3].engine_name,
    ]  # fmt: skip


async def test_where_all_are_in_use_a_request_waits_for_the_end_of_another(
    make_sync: Any, directory: Directory, make_adapter: Make
) -> None:
    sync, experts = make_sync(resident=1), many(make_adapter, "ab")
    await settle(sync, desired(experts[0]))

    with directory.using(await find(directory, "team/a")):
        await settle(sync, desired(*experts))
        assert directory.adapters[1].reason is Reason.SERVER_AT_CAPACITY
        asked = asyncio.create_task(find(directory, "team/b"))
        await asyncio.sleep(0)
        await settle(sync, desired(*experts))
        directory.wanted.clear()
        assert not asked.done()

    assert directory.wanted.is_set()
    directory.clock = count(start=10**9).__next__
    await settle(sync, desired(*experts))
    assert (await asked).engine_name == experts[1].engine_name


async def test_what_another_agent_left_in_a_cpu_engine_is_not_counted_on(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    wanted = desired(expert(make_adapter("a")))
    await settle(make_sync(resident=2, device="cpu"), wanted)

    await settle(make_sync(resident=2, device="cpu"), wanted)

    assert len(stand_in[0].slots) == 1
    assert states(directory) == [AdapterState.LOADED]


async def test_a_refused_adapter_leaves_its_slot(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync = make_sync(resident=1, device="cpu")
    stand_in[0].ignored.add("team.bad--000000000009")
    bad = expert(make_adapter("bad"), 9, name="team/bad")

    await settle(sync, desired(bad, expert(make_adapter("a"))))

    assert states(directory) == [AdapterState.QUARANTINED, AdapterState.LOADED]
    assert stand_in[0].most_slots == 1


async def test_after_a_restart_of_the_engine_those_that_were_used_last_come_back_first(
    make_sync: Any, stand_in: Any, directory: Directory, make_adapter: Make
) -> None:
    sync, wanted = make_sync(resident=2), desired(*many(make_adapter, "abc"))
    directory.clock = count(step=10).__next__
    await settle(sync, wanted)
    used = [one for one in wanted.experts if one.engine_name in stand_in[0].adapters]
    stand_in[0].adapters.clear()
    sync.engine_is_empty(wanted)

    await settle(sync, wanted)

    assert sorted(stand_in[0].adapters) == sorted(one.engine_name for one in used)


async def test_the_source_may_go_once_an_adapter_is_placed(
    make_sync: Any, directory: Directory, make_adapter: Make
) -> None:
    sync, folder = make_sync(), make_adapter("a")
    wanted = desired(expert(folder))
    await sync.converge(wanted)
    shutil.rmtree(folder)
    sync.engine_is_empty(wanted)

    await sync.converge(wanted)

    assert states(directory) == [AdapterState.LOADED]
