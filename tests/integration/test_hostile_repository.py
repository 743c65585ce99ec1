"""A repository made to do harm: nothing of it runs, leads outside or takes the machine down."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from nanodex.api.code_expert import GitSource
from nanodex.errors import NanodexError, UserError
from nanodex.source.checkout import Checkout, SourceLimits
from nanodex.source.repository import checkout

pytestmark = pytest.mark.integration


class Forge:
    """Writes objects that git itself would refuse to write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "--bare", "--initial-branch=main", ".")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, input=stdin,
            capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, entries: Sequence[tuple[str, bytes, str]]) -> str:
        raw = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(object_id)
            for mode, name, object_id in entries
        )
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)

    def commit(self, tree: str) -> str:
        commit = self.git("commit-tree", tree, "-m", "x")
        self.git("update-ref", "refs/heads/main", commit)
        return commit

    def checkout(self, commit: str, out: Path, limits: SourceLimits | None = None) -> Checkout:
        git = GitSource.model_validate({"url": self.root.as_uri()})
        return checkout(git, commit=commit, destination=out, limits=limits or SourceLimits())


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "hostile")


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize(
    ("mode", "name", "reason"),
    [
        ("120000", b"passwd.py", "Symlink"),
        ("160000", b"module", "Submodule"),
        ("100644", b"a\nb.py", "UnsafePath"),
        ("100644", b"\xff\xfe.py", "NotUtf8"),
        ("100644", b"..", "UnsafePath"),
        ("100644", b".", "UnsafePath"),
        ("100644", b".git", "UnsafePath"),
        ("100644", b"../../escape.py", "UnsafePath"),
        ("100644", b"/tmp/escape.py", "UnsafePath"),
        ("100644", b".git/hooks/post-checkout", "UnsafePath"),
        ("100644", b"\x1b]0;title\x07.py", "UnsafePath"),
        ("100644", b"n" * 300, "PathTooLong"),
    ],
)
def test_a_hostile_entry_is_left_out_with_its_reason_and_the_rest_is_learned(
    forge: Forge, tmp_path: Path, mode: str, name: bytes, reason: str
) -> None:
    blob = forge.blob(b"/etc/passwd")
    bad = "1" * 40 if mode == "160000" else blob
    commit = forge.commit(forge.tree([("100644", b"good.py", blob), (mode, name, bad)]))
    taken = forge.checkout(commit, tmp_path / "out")
    assert [file.path for file in taken.files] == ["good.py"]
    assert [file.reason for file in taken.skipped] == [reason]
    assert all(file.path.isprintable() for file in taken.skipped)
    assert everything_below(tmp_path / "out") == {"good.py"}
    assert {path.name for path in tmp_path.iterdir()} == {"hostile", "out"}


def test_trees_that_lead_out_of_the_folder_are_left_out(forge: Forge, tmp_path: Path) -> None:
    blob = forge.blob(b"x")
    inner = forge.tree([("100755", b"post-checkout", blob)])
    hooks = forge.tree([("40000", b"hooks", inner)])
    commit = forge.commit(
        forge.tree([("40000", b"..", hooks), ("40000", b".git", hooks), ("100644", b"a.py", blob)])
    )
    taken = forge.checkout(commit, tmp_path / "out")
    assert [(file.path, file.reason) for file in taken.skipped] == [
        ("../hooks/post-checkout", "UnsafePath"),
        (".git/hooks/post-checkout", "UnsafePath"),
    ]
    assert everything_below(tmp_path / "out") == {"a.py"}


def test_a_link_and_a_folder_of_the_same_name_lead_nowhere(forge: Forge, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = forge.blob(str(outside).encode())
    inner = forge.tree([("100644", b"written.py", forge.blob(b"x"))])
    commit = forge.commit(forge.tree([("120000", b"d", link), ("40000", b"d", inner)]))
    taken = forge.checkout(commit, tmp_path / "out")
    assert [file.path for file in taken.files] == ["d/written.py"]
    assert not any(outside.iterdir())


def test_names_that_clash_are_reported_and_the_first_one_wins(forge: Forge, tmp_path: Path) -> None:
    one, other = forge.blob(b"one"), forge.blob(b"other")
    inner = forge.tree([("100644", b"x", one)])
    commit = forge.commit(
        forge.tree([("100644", b"a", one), ("100644", b"a", other), ("40000", b"a", inner)])
    )
    taken = forge.checkout(commit, tmp_path / "out")
    assert taken.read(taken.files[0]) == b"one"
    assert [file.reason for file in taken.skipped] == ["PathConflict", "PathConflict"]
    paths = [file.path for file in (*taken.files, *taken.skipped)]
    assert len(set(paths)) == len(paths)


def test_filters_hooks_and_lfs_of_the_repository_do_nothing(forge: Forge, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for name in ("post-checkout", "post-update", "reference-transaction"):
        hook = forge.root / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
        hook.chmod(0o755)
    commit = forge.commit(
        forge.tree([
            ("100644", b".gitattributes", forge.blob(b"* filter=lfs text eol=crlf ident\n")),
            ("100644", b".gitmodules", forge.blob(b'[submodule "x"]\n\turl = ext::evil\n')),
            ("100644", b"a.py", forge.blob(b"$Id$\n")),
            ("100644", b"big.bin", forge.blob(pointer)),
        ])
    )  # fmt: skip
    forge.git("config", "uploadpack.packObjectsHook", str(forge.root / "hooks" / "post-update"))
    ran.unlink(missing_ok=True)  # git update-ref, run above, has run the hook of its own repository
    taken = forge.checkout(commit, tmp_path / "out")
    assert (tmp_path / "out" / "a.py").read_bytes() == b"$Id$\n"
    assert [(file.path, file.reason) for file in taken.skipped] == [("big.bin", "LfsPointer")]
    assert not ran.exists()


@pytest.mark.parametrize(
    ("server_filters", "max_fetch_bytes"),
    [
        ("true", 1 << 20),  # the server leaves the file out: it is never sent
        ("false", 1 << 30),
    ],
)
def test_a_huge_file_is_left_out_whether_or_not_the_server_keeps_it(
    forge: Forge, tmp_path: Path, server_filters: str, max_fetch_bytes: int
) -> None:
    forge.git("config", "uploadpack.allowFilter", server_filters)
    huge = forge.blob(os.urandom(4 << 20))
    small = forge.blob(b"x = 1\n")
    commit = forge.commit(forge.tree([("100644", b"a.py", small), ("100644", b"huge.py", huge)]))
    limits = SourceLimits(max_file_bytes=1 << 20, max_fetch_bytes=max_fetch_bytes)
    taken = forge.checkout(commit, tmp_path / "out", limits)
    assert [file.path for file in taken.files] == ["a.py"]
    assert [(file.path, file.size, file.reason) for file in taken.skipped] == [
        ("huge.py", 0, "TooLarge")
    ]


def test_a_huge_file_that_travels_as_next_to_nothing_is_left_out(
    forge: Forge, tmp_path: Path
) -> None:
    size = 128 << 20
    stream = f"blob\nmark :1\ndata {size}\n".encode()
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=forge.root, stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(stream)
        block = bytes(1 << 24)
        for _ in range(size >> 24):
            process.stdin.write(block)
        process.stdin.write(
            b"\nblob\nmark :2\ndata 6\nx = 1\n\n"
            b"commit refs/heads/main\ncommitter a <a@example.com> 0 +0000\ndata 1\nx\n"
            b"M 100644 :1 zeros.py\nM 100644 :2 a.py\n"
        )
    taken = forge.checkout(forge.git("rev-parse", "main"), tmp_path / "out")
    assert [file.path for file in taken.files] == ["a.py"]
    assert [file.reason for file in taken.skipped] == ["TooLarge"]


def test_a_tree_that_holds_itself_over_and_over_is_refused(forge: Forge, tmp_path: Path) -> None:
    tree = forge.tree([("100644", b"f", forge.blob(b"x"))])
    for _ in range(10):
        tree = forge.tree([("40000", f"d{i}".encode(), tree) for i in range(10)])
    with pytest.raises(UserError, match="more than 5000 entries"):
        forge.checkout(forge.commit(tree), tmp_path / "out", SourceLimits(max_entries=5000))
    assert not (tmp_path / "out").exists()


def test_folders_nested_deeply_are_left_out(forge: Forge, tmp_path: Path) -> None:
    blob = forge.blob(b"x")
    tree = forge.tree([("100644", b"deep.py", blob)])
    for _ in range(300):
        tree = forge.tree([("40000", b"d", tree)])
    commit = forge.commit(forge.tree([("100644", b"a.py", blob), ("40000", b"d", tree)]))
    taken = forge.checkout(commit, tmp_path / "out")
    assert [file.path for file in taken.files] == ["a.py"]
    assert [file.reason for file in taken.skipped] == ["TooDeep"]


def test_a_repository_that_is_damaged_is_an_error_and_not_a_crash(
    forge: Forge, tmp_path: Path
) -> None:
    commit = forge.commit(forge.tree([("100644", b"a.py", forge.blob(b"damaged"))]))
    name = forge.git("hash-object", "--stdin", stdin=b"damaged")
    path = forge.root / "objects" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(b"not zlib")
    with pytest.raises(NanodexError) as caught:
        forge.checkout(commit, tmp_path / "out")
    assert caught.value.hint
