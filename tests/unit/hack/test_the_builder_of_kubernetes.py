"""What the builder keeps a binary under, when it builds, and what it says when it cannot.

A script stands in for Go; that the real one builds is shown by every test of tests/controlplane.
"""

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hack.kind import build
from hack.kind.build import BINARIES, CannotBuild, NoToolchain, Unreachable, built, cache_key

ROOT = Path(__file__).parents[3]
# Writes what it was asked to build, one word a line, or fails in the words of $FAILURE.
GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go${VERSION:-1.26.8} linux/amd64"; exit; fi
if [ -n "$FAILURE" ]; then echo "go: downloading a v1" >&2; echo "$FAILURE" >&2; exit 1; fi
for word in "$@"; do case $word in -o=*) out=${word#-o=};; esac; done
[ -n "$GOBIN" ] && out=$GOBIN/helm
sleep "${SLOW:-0}"
printf '%s\\n' "$@" "$CGO_ENABLED $GOTOOLCHAIN $GOFLAGS $GOWORK $GOOS" > "$out"
echo built >> "$BUILDS"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a Go; returns the file that has a line for each build."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text(GO)
    (folder / "go").chmod(0o755)
    builds = tmp_path / "builds"
    builds.touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("BUILDS", str(builds))
    return builds


def test_every_binary_of_kubernetes_is_told_its_version_twice() -> None:
    flags = " ".join(BINARIES["kube-apiserver"].flags)
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert f"-X={package}.gitVersion={build.KUBERNETES} " in f"{flags} "
        assert f"-X={package}.gitMinor={build.KUBERNETES.split('.')[1]} " in f"{flags} "


def test_every_pinned_binary_is_a_tool_of_the_module() -> None:
    tools = (ROOT / "hack" / "kind" / "go.mod").read_text()
    for binary in BINARIES.values():
        ours = (ROOT / "hack" / "kind" / binary.package).is_dir()
        assert binary.version or ours or f"\t{binary.package}\n" in tools


def test_a_key_changes_with_what_a_binary_is_made_of() -> None:
    pinned, released = BINARIES["etcd"], BINARIES["helm"]
    key = cache_key(pinned, pins=b"one", machine="Linux-x86_64")
    other_flags = dataclasses.replace(pinned, ldflags=("-s",))
    assert key == cache_key(pinned, pins=b"one", machine="Linux-x86_64")
    assert key != cache_key(pinned, pins=b"two", machine="Linux-x86_64")
    assert key != cache_key(pinned, pins=b"one", machine="Linux-aarch64")
    assert key != cache_key(other_flags, pins=b"one", machine="Linux-x86_64")
    # go.mod has no part in what is installed at a version of its own.
    newer = dataclasses.replace(released, version="v9.9.9")
    key = cache_key(released, pins=b"one", machine="Linux-x86_64")
    assert key == cache_key(released, pins=b"two", machine="Linux-x86_64")
    assert key != cache_key(newer, pins=b"one", machine="Linux-x86_64")


def test_the_cache_is_where_the_user_wants_it() -> None:
    home = Path.home() / ".cache" / "nanodex" / "kubernetes"
    assert build.cache_folder({}) == home
    assert build.cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/nanodex/kubernetes")
    chosen = {"XDG_CACHE_HOME": "/x", "NANODEX_KUBERNETES_CACHE": "/y"}
    assert build.cache_folder(chosen) == Path("/y")


def test_a_binary_is_built_once(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOS", "windows")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    said: list[str] = []
    paths = built(["etcd", "helm"], cache=tmp_path / "cache", tell=said.append)
    assert said[0] == "etcd: building (1 of 2)"
    assert said[-1].startswith("helm: built in ")
    *asked, environment = paths["etcd"].read_text().splitlines()
    assert asked[:4] == ["build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w"]
    assert asked[-1] == "go.etcd.io/etcd/server/v3"
    assert environment == "0 local -mod=readonly -buildvcs=false off "
    *asked, _ = paths["helm"].read_text().splitlines()
    assert (asked[0], asked[-1]) == ("install", "helm.sh/helm/v4/cmd/helm@v4.3.1")

    monkeypatch.setenv("PATH", "")  # what is there is used without Go
    assert built(["etcd", "helm"], cache=tmp_path / "cache") == paths
    assert len(go.read_text().splitlines()) == 2


def test_two_builds_at_once_build_once(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "1")
    said: list[str] = []
    builds = [
        threading.Thread(target=built, args=(["etcd"],), kwargs={"cache": tmp_path, "tell": tell})
        for tell in (said.append, said.append)
    ]
    for each in builds:
        each.start()
    for each in builds:
        each.join()
    assert "another process builds; waiting for it" in said
    assert len(go.read_text().splitlines()) == 1


def test_what_a_killed_build_left_is_removed(go: Path, tmp_path: Path) -> None:
    path = built(["etcd"], cache=tmp_path)["etcd"]
    path.unlink()
    left = path.parent / ".build-left"
    left.mkdir()
    (left / "etcd").touch()
    built(["etcd"], cache=tmp_path)
    assert [each.name for each in path.parent.iterdir()] == ["etcd"]


def test_a_failed_build_leaves_nothing_and_says_why(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILURE", "verifying module: checksum mismatch")
    with pytest.raises(CannotBuild, match=r"etcd could not be built:\nverifying module") as raised:
        built(["etcd"], cache=tmp_path)
    assert "hint: go.mod and go.sum" in str(raised.value)
    assert "downloading" not in str(raised.value)
    assert not isinstance(raised.value, Unreachable)
    assert not list(tmp_path.rglob("etcd"))


@pytest.mark.parametrize(
    "failure",
    [
        'Get "https://proxy.example.org/x/@v/list": dial tcp: lookup proxy: no such host',
        "reading https://proxy.example.org/x/@v/v1.mod: 502 Bad Gateway",
        "x: module lookup disabled by GOPROXY=off",
    ],
)
def test_modules_that_cannot_be_fetched(
    failure: str, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILURE", failure)
    with pytest.raises(Unreachable, match=r"hint: the Go modules could not be fetched.*GOPROXY"):
        built(["etcd"], cache=tmp_path)


def test_a_machine_without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoToolchain, match=r"needs Go 1\.26, and PATH has no go\nhint: install Go"):
        built(["etcd"], cache=tmp_path)


@pytest.mark.parametrize("version", ["1.19.8", "1.25.9"])
def test_a_go_that_is_too_old(
    version: str, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSION", version)
    with pytest.raises(NoToolchain, match=r"needs Go 1\.26, and .*/go is 1\.\d\d\nhint: install"):
        built(["etcd"], cache=tmp_path)


def test_the_command_prints_paths_and_names_what_it_does_not_know(go: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "hack" / "kind" / "build.py"), f"--cache={tmp_path}"]
    done = subprocess.run([*script, "etcd"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.rstrip("\n")).is_file()
    assert "etcd: built in" in done.stderr
    wrong = subprocess.run([*script, "etdc"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "unknown etdc: choose from etcd, kube-apiserver" in wrong.stderr
