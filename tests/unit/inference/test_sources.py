"""Adapters come from the store verified, in the background, and never more than the disk holds."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.desired import ServedExpert
from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, open_store, publish
from nanodex.artifacts.layout import blob_name
from nanodex.errors import NotServable, TryAgain
from nanodex.inference.shelf import GRACE_SECONDS, Shelf
from nanodex.inference.sources import StoreSource

Make = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def published(
    make_adapter: Make, store: ObjectStore, tmp_path: Path
) -> Callable[..., ServedExpert]:
    def write(name: str, *, seed: int = 1, rank: int = 8, scope: str = "team") -> ServedExpert:
        folder = tmp_path / "artifacts" / name
        folder.mkdir(parents=True)
        make_adapter(name, seed=seed, rank=rank).rename(folder / "adapter")
        key = hashlib.sha256(name.encode()).hexdigest()
        manifest = publish(
            folder, store=store, stage=StageName.TRAIN, key=key, scope=scope
        ).manifest
        return ServedExpert(name=f"{scope}/{name}", digest=manifest.digest, key=key)

    return write


@pytest.fixture
def make_source(store: ObjectStore, tmp_path: Path) -> Callable[..., StoreSource]:
    def make(*, budget_bytes: int = 1 << 20, store: ObjectStore = store) -> StoreSource:
        shelf = Shelf(tmp_path / "adapters", budget_bytes=budget_bytes)
        return StoreSource(store, shelf=shelf, on_done=lambda: None)

    return make


async def fetched(source: StoreSource, expert: ServedExpert) -> Path:
    async with asyncio.timeout(20):
        while (folder := await source.obtain(expert)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return folder


async def test_an_adapter_is_fetched_once_and_is_read_only(
    make_source: Any, published: Any, tmp_path: Path
) -> None:
    source, expert = make_source(), published("a")

    assert await source.obtain(expert) is None
    folder = await fetched(source, expert)

    assert folder == tmp_path / "adapters" / expert.digest.replace(":", "-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "nanodex.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert await source.obtain(expert) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


async def test_bytes_that_were_changed_in_the_store_do_not_arrive(
    make_source: Any, published: Any, store: ObjectStore, tmp_path: Path
) -> None:
    source, expert = make_source(), published("a")
    weights = tmp_path / "artifacts" / "a" / "adapter" / "adapter_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    store.write(blob_name(scope="team", sha256=digest), b"other")

    with pytest.raises(TryAgain) as caught:
        await fetched(source, expert)

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert list((tmp_path / "adapters").iterdir()) == []


async def test_another_artifact_under_the_same_key_is_not_taken(
    make_source: Any, published: Any
) -> None:
    expert = published("a").model_copy(update={"digest": "sha256:" + "0" * 64})

    with pytest.raises(TryAgain, match="another digest"):
        await fetched(make_source(), expert)


async def test_an_expert_cannot_have_the_artifact_of_another_namespace(
    make_source: Any, published: Any
) -> None:
    expert = published("a", scope="team").model_copy(update={"name": "other/a"})

    with pytest.raises(TryAgain) as caught:
        await fetched(make_source(), expert)

    assert caught.value.reason is Reason.ARTIFACT_MISSING


async def test_a_pickle_among_the_files_is_refused_for_good(
    make_source: Any, published: Any, store: ObjectStore, tmp_path: Path
) -> None:
    expert = published("a")
    name = f"v1/team/train/{expert.key}/manifest.json"
    manifest = json.loads(store.read(name, limit=1 << 20))
    manifest["files"].append({"path": "training_args.bin", "sha256": "0" * 64, "size": 1})
    store.write(name, json.dumps(manifest).encode())
    files = json.dumps(manifest["files"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = "sha256:" + hashlib.sha256(files.encode()).hexdigest()

    with pytest.raises(NotServable, match=r"training_args\.bin"):
        await fetched(make_source(), expert.model_copy(update={"digest": digest}))


class Away:
    """A store that answers nothing."""

    uri = "s3://bucket"

    def __init__(self) -> None:
        self.asked = 0

    def read(self, name: str, *, limit: int) -> bytes:
        self.asked += 1
        raise TryAgain("the store is away", reason=Reason.STORE_UNAVAILABLE, hint="wait")


async def test_a_store_that_is_away_is_not_asked_again_at_once(
    make_source: Any, published: Any
) -> None:
    away = Away()
    source = make_source(store=away)
    expert = published("a")

    for _ in range(3):
        with pytest.raises(TryAgain) as caught:
            await fetched(source, expert)
        assert caught.value.reason is Reason.STORE_UNAVAILABLE

    assert away.asked == 1


async def test_the_disk_holds_what_fits_and_the_oldest_goes_unless_the_engine_knows_it(
    make_source: Any, published: Any, tmp_path: Path
) -> None:
    experts = [published(name, seed=seed) for seed, name in enumerate("abc", start=1)]
    size = sum(path.stat().st_size for path in (tmp_path / "artifacts" / "a" / "adapter").iterdir())
    shelf = Shelf(tmp_path / "adapters", budget_bytes=int(2.5 * size))
    source = StoreSource(make_source()._store, shelf=shelf, on_done=lambda: None)
    first, second = [await fetched(source, expert) for expert in experts[:2]]
    shelf.in_use([first], now=0.0)
    shelf.in_use([first], now=GRACE_SECONDS * 1e6)

    third = await fetched(source, experts[2])

    assert first.is_dir() and third.is_dir() and not second.exists()
    with pytest.raises(TryAgain, match="in use"):
        await fetched(source, experts[1])


def test_a_folder_is_kept_for_a_while_after_the_engine_forgot_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, budget_bytes=10)
    folder = tmp_path / "sha256-a"
    folder.mkdir()
    (folder / "x").write_bytes(b"x" * 8)
    shelf.in_use([folder], now=100.0)

    shelf.in_use([], now=100.0 + GRACE_SECONDS / 2)
    with pytest.raises(TryAgain):
        shelf.reserve(8)
    shelf.in_use([], now=101.0 + GRACE_SECONDS)
    shelf.reserve(8)

    assert not folder.exists()


def test_an_adapter_that_is_larger_than_the_disk_is_refused_for_good(tmp_path: Path) -> None:
    with pytest.raises(NotServable, match="the server keeps 10 in all"):
        Shelf(tmp_path, budget_bytes=10).reserve(11)


async def test_one_that_is_larger_than_the_disk_keeps_no_other_from_coming(
    make_source: Any, published: Any, make_adapter: Make
) -> None:
    small = published("small")
    source = make_source(budget_bytes=4000)
    large = published("large", rank=64)

    with pytest.raises(NotServable, match="the server keeps 4000 in all"):
        await fetched(source, large)
    assert (await fetched(source, small)).is_dir()


def test_what_an_earlier_process_did_not_finish_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".placing-x" / "adapter").mkdir(parents=True)
    (tmp_path / "sha256-a").mkdir()

    Shelf(tmp_path, budget_bytes=1).clear_unfinished()

    assert [path.name for path in tmp_path.iterdir()] == ["sha256-a"]
