from collections.abc import Callable
from pathlib import Path

import pytest

from nanodex.api.code_expert import GitSource, repository_name
from nanodex.errors import NanodexError, UserError
from nanodex.source.checkout import SourceLimits
from nanodex.source.folder import open_folder
from nanodex.source.repository import checkout, resolve


def source(repository: Path, **fields: object) -> GitSource:
    url = repository.as_uri()
    return GitSource.model_validate({"url": url, "ref": {"branch": "trunk"}, **fields})


@pytest.mark.parametrize(
    ("ref", "revision"),
    [
        ({"branch": "trunk"}, "trunk"),
        ({"branch": "feature/x"}, "feature/x"),
        ({"tag": "v1"}, "v1"),
        ({"tag": "v1-annotated"}, "v1-annotated^{commit}"),
    ],
)
def test_a_ref_resolves_to_its_commit(
    repository: Path, run_git: Callable[..., str], ref: dict[str, str], revision: str
) -> None:
    assert resolve(source(repository, ref=ref)) == run_git("rev-parse", revision, cwd=repository)


def test_a_commit_is_its_own_answer(tmp_path: Path) -> None:
    assert resolve(source(tmp_path / "nowhere", ref={"commit": "a" * 40})) == "a" * 40


@pytest.mark.parametrize(
    "ref",
    [
        {"branch": "main"},
        {"branch": "v1"},
        {"tag": "trunk"},
        {"branch": "x"},  # the end of feature/x
    ],
)
def test_a_ref_that_is_not_there_is_named_and_the_default_branch_offered(
    repository: Path, ref: dict[str, str]
) -> None:
    with pytest.raises(UserError, match="has no") as caught:
        resolve(source(repository, ref=ref))
    assert (caught.value.reason, caught.value.exit_code) == ("RefNotFound", 11)
    assert "default branch is trunk" in caught.value.hint


def test_a_repository_that_is_not_there_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no git repository"):
        resolve(source(tmp_path / "nowhere"))


def test_the_files_of_a_commit_are_written_as_they_were(repository: Path, tmp_path: Path) -> None:
    git = source(repository)
    taken = checkout(git, commit=resolve(git), destination=tmp_path / "out")
    assert [file.path for file in taken.files] == [
        "docs/Überblick.md", "src/app.py", "src/deep/core.py",
    ]  # fmt: skip
    assert taken.read(taken.files[1]) == b"print('two')\n"
    assert taken.repository == "Pay-ments"
    assert taken.skipped == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Pay ments.git", "out"]


def test_an_older_commit_is_read_as_well(
    repository: Path, tmp_path: Path, run_git: Callable[..., str]
) -> None:
    old = run_git("rev-parse", "v1", cwd=repository)
    taken = checkout(source(repository), commit=old, destination=tmp_path / "out")
    assert taken.read(taken.files[1]) == b"print('one')\n"


def test_a_folder_of_the_same_files_gives_the_same_checkout(
    repository: Path, tmp_path: Path
) -> None:
    git = source(repository)
    taken = checkout(git, commit=resolve(git), destination=tmp_path / "out")
    opened = open_folder(repository)
    assert (opened.files, opened.commit) == (taken.files, taken.commit)


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"sub_path": "src"}, ["src/app.py", "src/deep/core.py"]),
        ({"sub_path": "src/deep/"}, ["src/deep/core.py"]),
        ({"include": ["*.md"]}, ["docs/Überblick.md"]),
        ({"exclude": ["src/deep/", "*.md"]}, ["src/app.py"]),
        ({"sub_path": "src", "include": ["/src/*.py"]}, ["src/app.py"]),
    ],
)
def test_a_part_keeps_the_paths_of_the_whole(
    repository: Path, tmp_path: Path, fields: dict[str, object], paths: list[str]
) -> None:
    git = source(repository, **fields)
    taken = checkout(git, commit=resolve(git), destination=tmp_path / "out")
    assert [file.path for file in taken.files] == paths


@pytest.mark.parametrize(
    ("fields", "limits", "reason"),
    [
        ({"sub_path": "nowhere"}, {}, "EmptySource"),
        ({"sub_path": "src/app.py"}, {}, "EmptySource"),
        ({"include": ["*.java"]}, {}, "EmptySource"),
        ({}, {"max_file_bytes": 1}, "EmptySource"),
        ({}, {"max_files": 2}, "InvalidInput"),
        ({}, {"max_entries": 2}, "InvalidInput"),
        ({}, {"max_total_bytes": 20}, "InvalidInput"),
        ({}, {"max_fetch_bytes": 100}, "InvalidInput"),
        ({}, {"timeout_seconds": 0.0}, "GitUnavailable"),
    ],
)
def test_what_cannot_be_learned_is_refused_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path, fields: dict[str, object], limits: dict[str, int], reason: str
) -> None:
    git = source(repository, **fields)
    with pytest.raises(NanodexError) as caught:
        checkout(
            git, commit=resolve(git), destination=tmp_path / "out", limits=SourceLimits(**limits)
        )
    assert caught.value.reason == reason
    assert [path.name for path in tmp_path.iterdir()] == ["Pay ments.git"]


def test_a_commit_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no commit aaaa") as caught:
        checkout(source(repository), commit="a" * 40, destination=tmp_path / "out")
    assert caught.value.reason == "RefNotFound"


def test_a_repository_with_sha256_names_is_read(
    tmp_path: Path, run_git: Callable[..., str]
) -> None:
    root = tmp_path / "new"
    root.mkdir()
    (root / "a.py").write_text("A = 1\n")
    run_git("init", "-q", "-b", "trunk", "--object-format=sha256", cwd=root)
    run_git("add", "-A", cwd=root)
    run_git("commit", "-q", "-m", "one", cwd=root)
    git = source(root)
    taken = checkout(git, commit=resolve(git), destination=tmp_path / "out")
    assert len(taken.commit) == 64
    assert taken.read(taken.files[0]) == b"A = 1\n"


def test_ssh_without_a_key_is_refused_before_anything_is_asked() -> None:
    git = GitSource.model_validate(
        {"url": "git@host.example:a.git", "secretRef": {"name": "absent"}}
    )
    with pytest.raises(UserError, match="no key") as caught:
        resolve(git)
    assert (caught.value.reason, caught.value.exit_code) == ("AuthenticationFailed", 13)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example/acme/payments.git", "payments"),
        ("https://h.example/acme/payments/", "payments"),
        ("git@h.example:payments.git", "payments"),
        ("ssh://git@h.example/a/b c$d.git", "b-c-d"),
        ("https://h.example/a/%2e%2e", "repository"),
        ("file:///", "repository"),
    ],
)
def test_the_name_of_a_repository_is_safe(url: str, name: str) -> None:
    assert repository_name(url) == name
