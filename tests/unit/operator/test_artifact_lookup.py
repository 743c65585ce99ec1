"""What was found in the store is not asked for again; that there is nothing is true only now."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nanodex_operator.artifact_lookup import ArtifactLookup
from nanodex_operator.metrics import OperatorMetrics

from nanodex.api.progress import ProgressReport
from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, layout, open_store, publish
from nanodex.errors import TryAgain

KEY, OTHER = "a" * 64, "b" * 64
TRAIN = StageName.TRAIN


class Counting:
    """A store that counts reads, and may be away."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.reads = 0
        self.away = False

    def read(self, name: str, *, limit: int) -> bytes:
        self.reads += 1
        if self.away:
            raise TryAgain("away", reason="StoreUnavailable", hint="wait")  # type: ignore[arg-type]
        return self._store.read(name, limit=limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(open_store(str(tmp_path / "store")))


@pytest.fixture
def metrics() -> OperatorMetrics:
    return OperatorMetrics()


@pytest.fixture
def lookup(store: Counting, metrics: OperatorMetrics) -> Iterator[ArtifactLookup]:
    made = ArtifactLookup(store, metrics=metrics)  # type: ignore[arg-type]
    yield made
    made.close()


def put(store: Counting, tmp_path: Path, *, key: str = KEY, size: int = 10) -> str:
    folder = tmp_path / key
    folder.mkdir()
    (folder / "training.json").write_text(key[0] * size)
    published = publish(
        folder,
        store=store,  # type: ignore[arg-type]
        stage=TRAIN,
        key=key,
        scope="team-a",
        parameters={"noise": "".join(chr(33 + i % 90) for i in range(size))},
    )
    store.reads = 0
    return published.manifest.digest


async def test_a_found_manifest_is_asked_for_once(
    lookup: ArtifactLookup, store: Counting, tmp_path: Path, metrics: OperatorMetrics
) -> None:
    digest = put(store, tmp_path)

    found = [await lookup.find("team-a", TRAIN, KEY) for _ in range(3)]

    assert [one.digest for one in found if one is not None] == [digest] * 3
    assert store.reads == 1
    assert 'store_requests_total{result="found"} 1.0' in metrics.text().decode()


async def test_a_missing_manifest_is_asked_for_each_time(
    lookup: ArtifactLookup, store: Counting, tmp_path: Path
) -> None:
    assert await lookup.find("team-a", TRAIN, KEY) is None
    put(store, tmp_path)
    assert await lookup.find("team-a", TRAIN, KEY) is not None


async def test_a_retry_asks_the_store_again(
    lookup: ArtifactLookup, store: Counting, tmp_path: Path
) -> None:
    put(store, tmp_path)
    await lookup.find("team-a", TRAIN, KEY)
    store.delete(layout.manifest_name(scope="team-a", stage=TRAIN, key=KEY))  # type: ignore[operator]

    assert await lookup.find("team-a", TRAIN, KEY) is not None
    lookup.forget("team-a", TRAIN, KEY)
    assert await lookup.find("team-a", TRAIN, KEY) is None


async def test_memory_is_bounded_and_what_was_used_least_lately_goes(
    store: Counting, tmp_path: Path, metrics: OperatorMetrics
) -> None:
    lookup = ArtifactLookup(store, metrics=metrics, kept_bytes=800)  # type: ignore[arg-type]
    for key in (KEY, OTHER, "c" * 64, "d" * 64):
        put(store, tmp_path, key=key, size=50)
        await lookup.find("team-a", TRAIN, KEY)
        await lookup.find("team-a", TRAIN, key)
    store.reads = 0

    await lookup.find("team-a", TRAIN, KEY)
    assert store.reads == 0
    await lookup.find("team-a", TRAIN, OTHER)
    assert store.reads == 1
    lookup.close()


async def test_a_store_that_is_away_is_an_error_for_manifests_and_none_for_progress(
    lookup: ArtifactLookup, store: Counting, metrics: OperatorMetrics
) -> None:
    store.away = True

    with pytest.raises(TryAgain):
        await lookup.find("team-a", TRAIN, KEY)
    assert await lookup.progress("team-a", KEY) is None
    assert 'store_requests_total{result="error"} 2.0' in metrics.text().decode()


async def test_progress_is_read_as_it_is_now_and_never_trusted(
    lookup: ArtifactLookup, store: Counting
) -> None:
    name = layout.progress_name(scope="team-a", key=KEY)
    report = ProgressReport(stage=TRAIN, done=3, total=4, unit="steps")

    assert await lookup.progress("team-a", KEY) is None
    store.write(name, report.model_dump_json().encode())  # type: ignore[operator]
    assert await lookup.progress("team-a", KEY) == report
    store.write(name, b'{"stage": "train", "done": -1}')  # type: ignore[operator]
    assert await lookup.progress("team-a", KEY) is None
    store.write(name, b"x" * 100_000)  # type: ignore[operator]
    assert await lookup.progress("team-a", KEY) is None


async def test_removing_takes_back_what_is_committed_and_counts_it(
    lookup: ArtifactLookup, store: Counting, tmp_path: Path
) -> None:
    put(store, tmp_path)
    await lookup.find("team-a", TRAIN, KEY)

    assert await lookup.remove("team-a", [(TRAIN, KEY), (TRAIN, OTHER)]) == 1
    assert await lookup.find("team-a", TRAIN, KEY) is None
