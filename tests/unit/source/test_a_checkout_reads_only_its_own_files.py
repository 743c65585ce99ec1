import os
from pathlib import Path

import pytest

from nanodex.errors import UserError
from nanodex.source.checkout import Checkout, SourceFile


def checkout(root: Path) -> Checkout:
    return Checkout(root=root, repository="r", commit="", files=(), skipped=())


def test_reads_the_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_bytes(b"x\r\n\xff")
    assert checkout(tmp_path).read(SourceFile("a/b.py", 4)) == b"x\r\n\xff"


@pytest.mark.parametrize(
    "path", ["link.py", "folder/secret", "../secret", "/etc/passwd", "a//b", ""]
)
def test_nothing_outside_the_root_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.py").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="cannot read"):
        checkout(root).read(SourceFile(path, 6))


def test_a_named_pipe_neither_blocks_nor_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(UserError, match="cannot read"):
        checkout(tmp_path).read(SourceFile("pipe.py", 0))


@pytest.mark.parametrize("now", [b"longer than it was", b"s"])
def test_a_file_that_changed_is_refused(tmp_path: Path, now: bytes) -> None:
    (tmp_path / "a.py").write_bytes(now)
    with pytest.raises(UserError, match="changed while it was read"):
        checkout(tmp_path).read(SourceFile("a.py", 5))
