import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nanodex.api.manifest import Manifest
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import (
    ObjectStore,
    collect_garbage,
    discard,
    fetch,
    find,
    list_manifests,
    publish,
    remove,
    verify,
)
from nanodex.artifacts.layout import blob_name, manifest_name
from nanodex.errors import NanodexError, NotServable, TryAgain, UserError

KEY = "0" * 63 + "1"
OTHER_KEY = "0" * 63 + "2"
FILES = {"graph.sqlite": b"graph", "more/data.jsonl": b"{}\n"}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def blob_path(tmp_path: Path, manifest: Manifest, index: int = 0) -> Path:
    return tmp_path / "store" / blob_name(scope="team-a", sha256=manifest.files[index].sha256)


def test_what_was_published_comes_back(publish_files, store: ObjectStore, tmp_path: Path) -> None:
    published = publish_files(FILES)
    assert published.first
    found = find(store, scope="team-a", stage=StageName.EXTRACT, key=KEY)
    assert found == published.manifest
    assert contents(fetch(found, store=store, destination=tmp_path / "here")) == FILES


def test_an_unpublished_key_is_not_found(store: ObjectStore) -> None:
    assert find(store, scope="team-a", stage=StageName.EXTRACT, key=KEY) is None


def test_another_namespace_does_not_see_it(publish_files, store: ObjectStore) -> None:
    publish_files(FILES)
    assert find(store, scope="team-b", stage=StageName.EXTRACT, key=KEY) is None


def test_the_first_manifest_wins_and_the_second_writer_gets_it(publish_files) -> None:
    first = publish_files({"graph.sqlite": b"first"})
    second = publish_files({"graph.sqlite": b"second"})
    assert not second.first
    assert second.manifest == first.manifest


def test_publishing_the_same_again_changes_nothing(publish_files) -> None:
    assert publish_files(FILES).manifest == publish_files(FILES).manifest


def test_equal_files_are_stored_once(publish_files, store: ObjectStore) -> None:
    publish_files({"a.json": b"same", "b.json": b"same"})
    publish_files({"c.json": b"same"}, key=OTHER_KEY)
    assert len(list(store.entries("v1/team-a/blobs/"))) == 1


def test_equal_files_have_equal_digests_under_different_keys(publish_files) -> None:
    assert (
        publish_files(FILES).manifest.digest == publish_files(FILES, key=OTHER_KEY).manifest.digest
    )


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_one_flipped_bit_is_refused(publish_files, store, tmp_path: Path, size: int) -> None:
    manifest = publish_files({"graph.sqlite": b"x" * size}).manifest
    blob = blob_path(tmp_path, manifest)
    data = bytearray(blob.read_bytes()) or bytearray(b"\0")
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(TryAgain) as caught:
        fetch(manifest, store=store, destination=tmp_path / "here")
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert caught.value.exit_code is ExitCode.DIGEST_MISMATCH
    assert "graph.sqlite" in caught.value.message
    assert not (tmp_path / "here").exists()


def test_a_missing_file_is_refused(publish_files, store, tmp_path: Path) -> None:
    manifest = publish_files(FILES).manifest
    blob_path(tmp_path, manifest).unlink()
    with pytest.raises(TryAgain) as caught:
        fetch(manifest, store=store, destination=tmp_path / "here")
    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_discarded_artifact_can_be_made_again(publish_files, store, tmp_path: Path) -> None:
    manifest = publish_files(FILES).manifest
    blob_path(tmp_path, manifest).write_bytes(b"GRAPH")
    assert [entry.path for entry in verify(manifest, store=store)] == ["graph.sqlite"]
    discard(manifest, store=store)
    assert publish_files(FILES).first
    assert verify(manifest, store=store) == ()


def test_a_changed_local_copy_is_replaced(publish_files, store, tmp_path: Path) -> None:
    manifest = publish_files(FILES).manifest
    here = fetch(manifest, store=store, destination=tmp_path / "here")
    (here / "graph.sqlite").write_bytes(b"edited")
    (here / "added.json").write_bytes(b"{}")
    assert contents(fetch(manifest, store=store, destination=here)) == FILES
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_intact_local_copy_needs_no_store(publish_files, store, tmp_path: Path) -> None:
    manifest = publish_files(FILES).manifest
    here = fetch(manifest, store=store, destination=tmp_path / "here")
    for entry in manifest.files:
        store.delete(blob_name(scope="team-a", sha256=entry.sha256))
    assert fetch(manifest, store=store, destination=here) == here


@pytest.mark.parametrize("name", ["adapter.bin", "a.pt", "b.pkl", "c.pickle", "d.pth", "noending"])
def test_what_may_execute_is_not_published(publish_files, name: str) -> None:
    with pytest.raises(NotServable):
        publish_files({"graph.sqlite": b"", f"adapter/{name}": b""})


def test_a_link_is_not_published(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/graph.sqlite").symlink_to("/etc/passwd")
    with pytest.raises(UserError):
        publish(tmp_path / "out", store=store, stage=StageName.EXTRACT, key=KEY, scope="team-a")


def test_an_empty_folder_is_not_published(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError):
        publish(tmp_path / "out", store=store, stage=StageName.EXTRACT, key=KEY, scope="team-a")


@pytest.mark.parametrize(
    "path", ["../x.json", "/x.json", "a/../../x.json", "a\\..\\x.json", "", "a//x.json", "./x.json",
             "x.json/", "x.pkl", "graph.sqlite/x.json"]
)  # fmt: skip
def test_a_manifest_cannot_write_elsewhere(
    publish_files, store: ObjectStore, tmp_path: Path, path: str
) -> None:
    manifest = publish_files({"graph.sqlite": b"graph"}).manifest
    forged = json.loads(manifest.model_dump_json())
    forged["files"] = sorted(
        [*forged["files"], {**forged["files"][0], "path": path}], key=lambda file: file["path"]
    )
    store.write(
        manifest_name(scope="team-a", stage=StageName.EXTRACT, key=KEY), json.dumps(forged).encode()
    )
    before = sorted(path for path in tmp_path.rglob("*") if "store" not in path.parts)
    with pytest.raises(NanodexError):
        found = find(store, scope="team-a", stage=StageName.EXTRACT, key=KEY)
        assert found is not None
        fetch(found, store=store, destination=tmp_path / "deep/down/here")
    after = sorted(path for path in tmp_path.rglob("*") if "store" not in path.parts)
    assert [path for path in after if path.name not in ("deep", "down")] == before


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"stage": "extract"}'])
def test_a_manifest_that_is_none_is_a_digest_mismatch(store: ObjectStore, data: bytes) -> None:
    store.write(manifest_name(scope="team-a", stage=StageName.EXTRACT, key=KEY), data)
    with pytest.raises(TryAgain) as caught:
        find(store, scope="team-a", stage=StageName.EXTRACT, key=KEY)
    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_manifest_under_another_key_is_refused(publish_files, store: ObjectStore) -> None:
    manifest = publish_files(FILES).manifest
    other = manifest_name(scope="team-a", stage=StageName.EXTRACT, key=OTHER_KEY)
    store.write(other, manifest.model_dump_json().encode())
    with pytest.raises(TryAgain):
        find(store, scope="team-a", stage=StageName.EXTRACT, key=OTHER_KEY)


def test_artifacts_of_a_stage_are_listed(publish_files, store: ObjectStore) -> None:
    publish_files(FILES)
    publish_files(FILES, key=OTHER_KEY)
    keys = [each.key for each, _ in list_manifests(store, scope="team-a", stage=StageName.EXTRACT)]
    assert keys == [KEY, OTHER_KEY]
    assert not list(list_manifests(store, scope="team-a", stage=StageName.TRAIN))


def test_garbage_is_what_no_manifest_names_and_old(publish_files, store, tmp_path: Path) -> None:
    kept = publish_files({"a.json": b"kept", "b.json": b"shared"}).manifest
    gone = publish_files({"b.json": b"shared", "c.json": b"gone"}, key=OTHER_KEY).manifest
    remove(store, gone)
    assert collect_garbage(store, scope="team-a").deleted == 0
    later = datetime.now(UTC) + timedelta(hours=25)
    collected = collect_garbage(store, scope="team-a", now=later)
    assert (collected.deleted, collected.freed, collected.kept) == (1, 4, 2)
    assert verify(kept, store=store) == ()


def test_publishing_makes_an_old_file_young_so_that_garbage_collection_spares_it(
    publish_files, store: ObjectStore, tmp_path: Path
) -> None:
    manifest = publish_files(FILES).manifest
    remove(store, manifest)
    for index in range(2):
        os.utime(blob_path(tmp_path, manifest, index), (0, 0))
    again = publish_files(FILES).manifest
    remove(store, again)  # As if the manifest had not been written yet.
    assert collect_garbage(store, scope="team-a").deleted == 0


def test_forgotten_checkpoints_go_after_two_weeks(store: ObjectStore) -> None:
    store.write(f"v1/team-a/train/{KEY}/checkpoints/step-1/complete.json", b"{}")
    now = datetime.now(UTC)
    assert collect_garbage(store, scope="team-a", now=now + timedelta(days=13)).deleted == 0
    assert collect_garbage(store, scope="team-a", now=now + timedelta(days=15)).deleted == 1


@pytest.mark.parametrize("scope", ["", "..", "a/b", "Team", ".probe", "a" * 64, "-a"])
def test_a_scope_is_the_name_of_a_namespace(store: ObjectStore, scope: str) -> None:
    with pytest.raises(UserError):
        find(store, scope=scope, stage=StageName.EXTRACT, key=KEY)
