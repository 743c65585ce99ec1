"""What every store promises, asked of a folder and of a real S3 server."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nanodex.api.reasons import Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import (
    ObjectMissing,
    ObjectStore,
    collect_garbage,
    discard,
    fetch,
    find,
    open_store,
    publish,
    remove,
    require_conditional_writes,
    verify,
)
from nanodex.artifacts.layout import blob_name
from nanodex.errors import TryAgain, UserError

pytestmark = pytest.mark.integration

KEY = "0" * 63 + "1"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    return open_store(request.getfixturevalue("s3_location"))


def upload(store: ObjectStore, name: str, path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    store.upload(name, path, sha256=digest)
    return digest


def digest_of(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def test_what_is_written_is_read(store: ObjectStore) -> None:
    store.write("v1/a/one.json", b"one")
    store.write("v1/a/one.json", b"two")
    assert store.read("v1/a/one.json", limit=3) == b"two"
    assert b"".join(store.stream("v1/a/one.json")) == b"two"


def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    assert store.info("v1/a/none") is None
    store.delete("v1/a/none")
    with pytest.raises(ObjectMissing):
        store.read("v1/a/none", limit=3)
    with pytest.raises(ObjectMissing):
        list(store.stream("v1/a/none"))


def test_a_limit_is_kept(store: ObjectStore) -> None:
    store.write("v1/a/big", b"1234")
    with pytest.raises(UserError):
        store.read("v1/a/big", limit=3)


def test_objects_are_listed_by_prefix_in_order(store: ObjectStore) -> None:
    for name in ("v1/a/2", "v1/a/10", "v1/a/b/1", "v1/ab/1"):
        store.write(name, b"x" * len(name))
    listed = list(store.entries("v1/a/"))
    assert [info.name for info in listed] == ["v1/a/10", "v1/a/2", "v1/a/b/1"]
    assert [info.size for info in listed] == [7, 6, 8]
    assert all(abs(info.modified - datetime.now(UTC)) < timedelta(minutes=1) for info in listed)
    assert list(store.entries("v1/none/")) == []


def test_more_objects_than_a_page_are_listed(store: ObjectStore) -> None:
    names = [f"v1/a/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b""), names))
    assert [info.name for info in store.entries("v1/a/")] == names


@pytest.mark.parametrize("size", [0, 1, 16 << 20, (16 << 20) + 1, 40 << 20])
def test_files_of_any_size_survive(store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    digest = upload(store, "v1/a/file", path)
    info = store.info("v1/a/file")
    assert info is not None
    assert info.size == size
    assert digest_of(store.stream("v1/a/file")) == digest


@pytest.mark.parametrize("size", [100, 20 << 20])
def test_a_file_that_changed_is_not_stored(store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    with pytest.raises(TryAgain) as caught:
        store.upload("v1/a/file", path, sha256="0" * 64)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert store.info("v1/a/file") is None


def test_of_sixteen_writers_one_is_first(store: ObjectStore) -> None:
    for race in range(10):
        name = f"v1/a/{race}"
        with ThreadPoolExecutor(16) as pool:
            claims = [str(number).encode() for number in range(16)]
            won = list(pool.map(lambda claim, at=name: store.write_if_absent(at, claim), claims))
        assert sum(won) == 1
        assert store.read(name, limit=9) == claims[won.index(True)]


def test_it_has_conditional_writes(store: ObjectStore) -> None:
    require_conditional_writes(store)
    assert list(store.entries("v1/")) == []


def test_an_artifact_lives_and_dies(store: ObjectStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "adapter").mkdir(parents=True)
    (out / "adapter/adapter_model.safetensors").write_bytes(os.urandom(3 << 20))
    (out / "training.json").write_text("{}")
    published = publish(out, store=store, stage=StageName.TRAIN, key=KEY, scope="team-a")
    manifest = find(store, scope="team-a", stage=StageName.TRAIN, key=KEY)
    assert published.first
    assert manifest == published.manifest
    here = fetch(manifest, store=store, destination=tmp_path / "here")
    assert (here / "adapter/adapter_model.safetensors").read_bytes() == (
        out / "adapter/adapter_model.safetensors"
    ).read_bytes()
    remove(store, manifest)
    assert find(store, scope="team-a", stage=StageName.TRAIN, key=KEY) is None
    later = datetime.now(UTC) + timedelta(hours=25)
    assert collect_garbage(store, scope="team-a", now=later).deleted == 2
    assert list(store.entries("v1/")) == []


def test_one_flipped_byte_is_refused_and_repaired(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/graph.sqlite").write_bytes(os.urandom(2 << 20))
    arguments = {"store": store, "stage": StageName.EXTRACT, "key": KEY, "scope": "team-a"}
    manifest = publish(tmp_path / "out", **arguments).manifest
    name = blob_name(scope="team-a", sha256=manifest.files[0].sha256)
    data = bytearray(store.read(name, limit=4 << 20))
    data[1 << 20] ^= 1
    store.write(name, bytes(data))
    with pytest.raises(TryAgain) as caught:
        fetch(manifest, store=store, destination=tmp_path / "here")
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert name in caught.value.message
    assert not (tmp_path / "here").exists()
    discard(manifest, store=store)
    assert publish(tmp_path / "out", **arguments).first
    assert verify(manifest, store=store) == ()
