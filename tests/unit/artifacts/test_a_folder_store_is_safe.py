"""What is special to a folder; what every store promises is in tests/integration/test_stores.py."""

import os
import time
from pathlib import Path

import pytest

from nanodex.api.reasons import Reason
from nanodex.artifacts import ObjectMissing, ObjectStore, open_store
from nanodex.errors import TryAgain, UserError


@pytest.mark.parametrize(
    "name", ["../x", "v1/../../x", "/etc/passwd", "v1//x", "v1/./x", "", ".incoming/x", "a\0b"]
)
def test_a_name_cannot_leave_the_folder(store: ObjectStore, name: str) -> None:
    for attempt in (
        lambda: store.write(name, b"x"),
        lambda: store.read(name, limit=10),
        lambda: store.delete(name),
        lambda: store.info(name),
    ):
        with pytest.raises(UserError):
            attempt()


def test_a_link_in_the_store_is_not_followed(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    store.write("v1/real", b"x")
    (tmp_path / "store/v1/link").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError):
        store.read("v1/link", limit=100)


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"other than announced")
    with pytest.raises(TryAgain) as caught:
        store.upload("v1/x", tmp_path / "file", sha256="0" * 64)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    with pytest.raises(ObjectMissing):
        store.read("v1/x", limit=100)


def test_an_error_leaves_no_temporary_file(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(TryAgain):
        store.upload("v1/x", tmp_path / "file", sha256="0" * 64)
    assert list((tmp_path / "store/.incoming").iterdir()) == []


def test_objects_are_as_readable_as_any_new_file(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    store.write("v1/x", b"")
    assert (tmp_path / "store/v1/x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_a_killed_writer_left_is_swept_a_day_later(tmp_path: Path) -> None:
    open_store(str(tmp_path))
    left, fresh = tmp_path / ".incoming/left", tmp_path / ".incoming/fresh"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, (time.time() - 90_000,) * 2)
    open_store(str(tmp_path))
    assert not left.exists()
    assert fresh.exists()


def test_a_folder_that_is_a_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        open_store(str(tmp_path / "file"))
    assert "folder" in caught.value.hint


@pytest.mark.parametrize("location", ["{}", "file://{}", "file://localhost{}"])
def test_a_folder_can_be_written_in_three_ways(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "a folder"
    opened = open_store(location.format(folder).replace(" ", "%20" if "://" in location else " "))
    assert opened.uri == folder.as_uri()
    assert folder.is_dir()


@pytest.mark.parametrize(
    "location",
    ["", "gs://bucket/x", "s3://", "s3://B_D/x", "s3://bucket/a/../b", "s3://bucket/a//b",
     "file://host/x", "http://x", "s3://bucket/a?b", "s3://-x-/"],
)  # fmt: skip
def test_other_locations_are_refused(location: str) -> None:
    with pytest.raises(UserError) as caught:
        open_store(location)
    assert "s3://bucket/prefix" in caught.value.hint
