"""The desired set, the state folder and the placed adapters, as files."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from nanodex.api.desired import DesiredSet, ServedExpert
from nanodex.api.manifest import FileEntry, Manifest
from nanodex.api.reasons import Reason
from nanodex.errors import NotServable, TryAgain, UserError
from nanodex.inference import find_server, stop
from nanodex.inference.desired import read_desired, write_desired
from nanodex.inference.engine_log import start_step
from nanodex.inference.placement import place, remove_placed
from nanodex.inference.state import ServerInfo, StateFolder, write_model

DIGEST = "sha256:" + "ab12" * 16


def expert(folder: Path = Path("/x"), **fields: object) -> ServedExpert:
    values = {"name": "team/a", "digest": DIGEST, "folder": folder} | fields
    return ServedExpert.model_validate(values)


def test_the_names_of_an_expert() -> None:
    assert expert().engine_name == "team.a--ab12ab12ab12"
    assert expert().pinned_name == "team/a@ab12ab12ab12"


@pytest.mark.parametrize(
    "name", ["a", "base", "team/", "/a", "a/b/c", "A/b", "../b", "a/b@c", "a/b\n"]
)
def test_a_name_that_is_not_namespace_and_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        expert(name=name)


def test_a_desired_set_survives_its_file(tmp_path: Path) -> None:
    desired = DesiredSet(generation=7, experts=(expert(), expert(name="team/b")))
    write_desired(tmp_path / "desired.json", desired)

    assert read_desired(tmp_path / "desired.json") == desired
    assert [path.name for path in tmp_path.iterdir()] == ["desired.json"]


def test_an_ambiguous_set_is_refused() -> None:
    with pytest.raises(ValidationError, match="two active versions"):
        DesiredSet(experts=(expert(), expert(digest="sha256:" + "0" * 64)))
    with pytest.raises(ValidationError, match="named twice"):
        DesiredSet(experts=(expert(), expert(active=False)))


@pytest.mark.parametrize("content", [b"", b"{", b'{"experts": [{}]}', b'{"more": 1}', b"\xff"])
def test_a_file_that_is_no_desired_set_is_the_users_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "desired.json").write_bytes(content)

    with pytest.raises(UserError, match="not a desired set"):
        read_desired(tmp_path / "desired.json")


def artifact(folder: Path) -> tuple[str, tuple[FileEntry, ...]]:
    entries = tuple(
        FileEntry(
            path=f"adapter/{path.name}",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
        )
        for path in sorted(folder.iterdir())
    )
    manifest = Manifest(stage="train", key="0" * 64, scope="team", files=entries)  # type: ignore[arg-type]
    return manifest.digest, entries


def test_an_adapter_is_placed_once_read_only_and_without_its_companions(
    make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_adapter("a")
    digest, files = artifact(folder)
    (folder / "README.md").write_text("not for the engine")

    placed = place(
        expert(folder, digest=digest, files=files), source=folder, root=tmp_path / "adapters"
    )

    assert sorted(path.name for path in placed.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "nanodex.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in placed.iterdir()} == {0o444}
    (folder / "nanodex.json").write_text("changed later")
    assert (
        place(expert(folder, digest=digest, files=files), source=folder, root=tmp_path / "adapters")
        == placed
    )
    remove_placed(tmp_path / "adapters", keep=[placed])
    assert placed.is_dir()
    remove_placed(tmp_path / "adapters", keep=[])
    assert list((tmp_path / "adapters").iterdir()) == []


def test_a_file_that_was_changed_after_publication_is_not_placed(
    make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_adapter("a")
    digest, files = artifact(folder)
    with (folder / "adapter_model.safetensors").open("ab") as stream:
        stream.write(b"x")

    with pytest.raises(TryAgain) as caught:
        place(expert(folder, digest=digest, files=files), source=folder, root=tmp_path / "adapters")

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert list((tmp_path / "adapters").iterdir()) == []


def test_a_list_of_files_that_is_not_the_digests_is_refused(
    make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_adapter("a")
    _, files = artifact(folder)

    with pytest.raises(TryAgain, match="list of files"):
        place(expert(folder, files=files), source=folder, root=tmp_path / "adapters")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_neither_a_link_nor_a_pipe_is_placed(
    make_adapter: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    folder = make_adapter("a")
    path = folder / "nanodex.json"
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(path)

    with pytest.raises(NotServable):
        place(expert(folder), source=folder, root=tmp_path / "adapters")


def test_one_server_at_a_time_uses_a_state_folder(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    with folder.locked():
        assert folder.holder() == os.getpid()
        with pytest.raises(UserError, match=f"process id {os.getpid()} already uses"):
            with folder.locked():
                pass
    assert folder.holder() is None


def test_a_server_that_died_is_neither_found_nor_signalled(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_model(
        folder.server,
        ServerInfo(url="http://127.0.0.1:1", models=(), pid=bystander.pid, state=tmp_path),
    )
    (tmp_path / "lock").write_text(f"{bystander.pid}\n")

    assert find_server(tmp_path) is None
    assert stop(tmp_path) is False
    assert bystander.poll() is None
    bystander.communicate()


def test_a_start_is_told_in_the_order_of_vllms_log() -> None:
    log = ""
    seen = [start_step(log)]
    for line in ("non-default args: {}", "Using max model len 2048",
                 "Initializing a V1 LLM engine (v0.32.0)", "Starting to load model /x...",
                 "CPU KV cache size: 1 tokens", "init engine took 4.77 s"):  # fmt: skip
        log += f"(APIServer pid=1) INFO [x.py:1] {line}\n"
        seen.append(start_step(log))

    assert [done for done, _ in seen] == list(range(7))
    assert seen[0][1] == "importing vLLM"
    assert seen[-1][1] == "starting the API"
