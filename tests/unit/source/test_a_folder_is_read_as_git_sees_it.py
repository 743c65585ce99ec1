import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nanodex.errors import UserError
from nanodex.source.checkout import SourceLimits
from nanodex.source.folder import open_folder


def paths(root: Path, **arguments: tuple[str, ...]) -> list[str]:
    return [file.path for file in open_folder(root, **arguments).files]  # type: ignore[arg-type]


def test_untracked_files_count_and_ignored_ones_do_not(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "new.py").write_text("new")
    (repository / "a.log").write_text("log")
    (repository / "src" / "app.py").unlink()
    assert paths(repository) == [".gitignore", "docs/Überblick.md", "new.py", "src/deep/core.py"]


def test_a_folder_inside_a_work_tree_has_paths_of_its_own(repository: Path) -> None:
    assert paths(repository / "src") == ["app.py", "deep/core.py"]


def test_a_folder_without_git_is_walked(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "a" / ".git" / "config").write_text("x")
    (tmp_path / "a" / "b.py").write_text("b")
    (tmp_path / "c.py").write_text("c")
    os.mkfifo(tmp_path / "pipe.py")
    opened = open_folder(tmp_path)
    assert [file.path for file in opened.files] == ["a/b.py", "c.py"]
    assert [(file.path, file.reason) for file in opened.skipped] == [("pipe.py", "NotAFile")]
    assert opened.commit == ""


def test_a_folder_that_git_ignores_is_walked(repository: Path, run_git: Callable[..., str]) -> None:
    (repository / ".gitignore").write_text("build/\n")
    (repository / "build").mkdir()
    (repository / "build" / "made.py").write_text("made")
    opened = open_folder(repository / "build")
    assert ([file.path for file in opened.files], opened.commit) == (["made.py"], "")


def test_include_and_exclude_select(repository: Path) -> None:
    assert paths(repository, include=("*.py",), exclude=("deep/",)) == ["src/app.py"]


def test_what_is_left_out_is_listed_with_its_reason(
    repository: Path, tmp_path: Path, run_git: Callable[..., str]
) -> None:
    (tmp_path / "secret").write_text("secret")
    (repository / "link.py").symlink_to(tmp_path / "secret")
    (repository / "away").symlink_to(tmp_path)
    (repository / "large.py").write_bytes(b"x" * 5000)
    (repository / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    (repository / "a\nb.py").write_text("x")
    (repository / "inner").mkdir()
    run_git("init", "-q", cwd=repository / "inner")
    (repository / "inner" / "x.py").write_text("x")
    opened = open_folder(repository, limits=SourceLimits(max_file_bytes=4096))
    assert {file.path: file.reason for file in opened.skipped} == {
        "link.py": "Symlink",
        "away": "Symlink",
        "large.py": "TooLarge",
        "model.bin": "LfsPointer",
        "a\\nb.py": "UnsafePath",
        "inner": "Submodule",
    }


def test_a_tracked_folder_that_became_a_link_is_not_followed(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "src" / "deep").rename(tmp_path / "elsewhere")
    (repository / "src" / "deep").symlink_to(tmp_path / "elsewhere")
    opened = open_folder(repository)
    assert "src/deep/core.py" not in [file.path for file in opened.files]
    assert {file.reason for file in opened.skipped} == {"Symlink"}


@pytest.mark.parametrize("setting", ["core.fsmonitor", "core.hooksPath", "filter.x.clean"])
def test_the_configuration_of_the_folder_runs_nothing(
    repository: Path, tmp_path: Path, run_git: Callable[..., str], setting: str
) -> None:
    hook = tmp_path / "hooks"
    hook.mkdir()
    for name in ("fsmonitor", "post-index-change"):
        (hook / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hook / name).chmod(0o755)
    value = hook if setting == "core.hooksPath" else hook / "fsmonitor"
    run_git("config", setting, str(value), cwd=repository)
    (repository / ".gitattributes").write_text("* filter=x\n")
    (repository / "src" / "app.py").write_text("changed")
    assert open_folder(repository).files
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "limits",
    [SourceLimits(max_files=1), SourceLimits(max_entries=1), SourceLimits(max_total_bytes=1)],
)
def test_a_folder_over_a_limit_is_refused(repository: Path, limits: SourceLimits) -> None:
    with pytest.raises(UserError, match="more than"):
        open_folder(repository, limits=limits)


def test_an_empty_folder_has_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_folder(tmp_path)
    assert (caught.value.reason, caught.value.exit_code) == ("EmptySource", 12)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        open_folder(tmp_path / "nowhere")
