"""Builds the Kubernetes that the tests run against: `python hack/kind/build.py etcd kubectl`.

No image registry and no release server is needed: every binary comes from published Go modules by
the ordinary `go build`, once, into a cache that go.mod, go.sum and the build flags are the key of.
What is in the cache is used without Go. Two processes never build at once, and a binary appears
under its name only when it is whole. Paths are printed on standard output, progress beside it.

Helm and kubeconform come by `go install`, not through go.mod: in one module with Kubernetes they
would raise each other's dependencies to versions that none of them was released with. Nothing of
theirs ends up in a product, and Go's checksum database vouches for what is fetched.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).resolve().parent
CACHE_VARIABLE = "NANODEX_KUBERNETES_CACHE"
# A build says that it is still at work this often.
_STILL_SECONDS = 30.0
_UNREACHABLE = re.compile(
    r"dial tcp|no such host|i/o timeout|connection re(?:fused|set)|TLS handshake|x509:|proxyconnect"
    r"|(?:reading|Get) \"?https?://|module lookup disabled",
)


class CannotBuild(Exception):
    """A binary could not be built, and what to do about it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}\nhint: {hint}")


class NoToolchain(CannotBuild):
    """This machine has no Go, or too old a one."""


class Unreachable(CannotBuild):
    """The modules cannot be fetched from here."""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One command and where its source is published."""

    name: str
    package: str
    # Empty for what go.mod pins.
    version: str = ""
    ldflags: tuple[str, ...] = ("-s", "-w")

    @property
    def flags(self) -> tuple[str, ...]:
        """What is given to `go build` and `go install` alike."""
        # Nobody debugs it: what -s -w throws away is not made at all, 8 % less work.
        return ("-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={' '.join(self.ldflags)}")


def _pinned(pattern: str) -> str:
    """Return what go.mod says after the words that a pattern matches."""
    found = re.search(rf"^{pattern} (\S+)", (MODULE / "go.mod").read_text(encoding="utf-8"), re.M)
    assert found is not None, f"go.mod does not say: {pattern}"
    return found[1]


KUBERNETES = _pinned(r"\tk8s\.io/kubernetes")


def _set(package: str, **values: str) -> tuple[str, ...]:
    return tuple(f"-X={package}.{name}={value}" for name, value in values.items())


def _kubernetes(name: str) -> Binary:
    """Return a command of Kubernetes that knows its version: it is v0.0.0 otherwise."""
    _, minor, _ = KUBERNETES.split(".")
    stamp = {
        "gitVersion": KUBERNETES,
        "gitMajor": "1",
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "module",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return Binary(
        name=name,
        package=f"k8s.io/kubernetes/cmd/{name}",
        ldflags=(
            "-s",
            "-w",
            *_set("k8s.io/component-base/version", **stamp),
            *_set("k8s.io/client-go/pkg/version", **stamp),
        ),
    )


BINARIES: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        Binary(name="etcd", package="go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        _kubernetes("kubectl"),
        _kubernetes("kubeadm"),
        # What a node needs beside them.
        Binary(name="pause", package="./pause"),
        Binary(
            name="coredns",
            package="github.com/coredns/coredns",
            version="v1.14.7",
            ldflags=("-s", "-w", *_set("github.com/coredns/coredns/coremain", GitCommit="module")),
        ),
        # Enforces NetworkPolicy with iptables and ipset, beside any pod network.
        Binary(
            name="kube-router",
            package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
            version="v2.1.0",
            ldflags=(
                *("-s", "-w"),
                *_set("github.com/cloudnativelabs/kube-router/v2/pkg/version", Version="v2.1.0"),
            ),
        ),
        Binary(name="kind", package="sigs.k8s.io/kind", version="v0.33.0"),
        Binary(
            name="helm",
            package="helm.sh/helm/v4/cmd/helm",
            version="v4.3.1",
            ldflags=("-s", "-w", *_set("helm.sh/helm/v4/internal/version", version="v4.3.1")),
        ),
        Binary(
            name="kubeconform",
            package="github.com/yannh/kubeconform/cmd/kubeconform",
            version="v0.8.0",
            ldflags=("-s", "-w", *_set("main", version="v0.8.0")),
        ),
    )
}


def cache_folder(environment: "os._Environ[str] | dict[str, str]") -> Path:
    """Return the folder that built binaries are kept in: shared by all checkouts of a user."""
    if chosen := environment.get(CACHE_VARIABLE):
        return Path(chosen)
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nanodex" / "kubernetes"


def cache_key(binary: Binary, *, pins: bytes, machine: str) -> str:
    """Return what a binary is kept under: it changes with everything that the binary is made of.

    Args:
        binary: What is built.
        pins: go.mod and go.sum, one after the other, and sources of our own.
        machine: Operating system and architecture.
    """
    made_of = [
        binary.package,
        binary.version or hashlib.sha256(pins).hexdigest(),
        *binary.flags,
        machine,
    ]
    digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    return f"{binary.name}-{digest}"


def built(
    names: Sequence[str], *, cache: Path | None = None, tell: Callable[[str], None] | None = None
) -> dict[str, Path]:
    """Return the path of each named binary, and build the ones that are not there.

    Args:
        names: Keys of `BINARIES`.
        cache: Where binaries are kept; `cache_folder` by default.
        tell: Is given a line of progress now and then.

    Raises:
        CannotBuild: with a hint.
    """
    cache = (cache or cache_folder(os.environ)).absolute()
    tell = tell or (lambda line: None)
    machine = f"{platform.system()}-{platform.machine()}"
    paths = {
        name: cache / cache_key(binary, pins=_pins(binary), machine=machine) / name
        for name, binary in ((name, BINARIES[name]) for name in names)
    }
    if all(path.exists() for path in paths.values()):
        return paths
    go = find_go()
    with _locked(cache, tell=tell):
        missing = [name for name, path in paths.items() if not path.exists()]
        for count, name in enumerate(missing, start=1):
            tell(f"{name}: building ({count} of {len(missing)})")
            _build(BINARIES[name], go=go, path=paths[name], tell=tell)
    return paths


def _pins(binary: Binary) -> bytes:
    """Return go.mod and go.sum, and the source of a command that is written here."""
    files = [MODULE / "go.mod", MODULE / "go.sum"]
    if binary.package.startswith("./"):
        files += sorted((MODULE / binary.package).glob("*.go"))
    return b"".join(file.read_bytes() for file in files)


def find_go() -> str:
    """Return the path of a Go that go.mod allows.

    Raises:
        NoToolchain: there is none.
    """
    wanted = _pinned("go").split(".")[:2]
    at_least = f"Go {'.'.join(wanted)}"
    hint = (
        f"install {at_least} or later from https://go.dev/dl/ and put its bin folder first in PATH "
        "(the one of a Linux distribution is often older)"
    )
    go = shutil.which("go")
    if go is None:
        raise NoToolchain(f"building Kubernetes needs {at_least}, and PATH has no go", hint=hint)
    # Outside of any module: an old Go that reads go.mod refuses it in its own words.
    said = subprocess.run(
        [go, "version"],
        env=_environment(),
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"\bgo(\d+)\.(\d+)", said.stdout)
    if found is None:
        raise NoToolchain(f"{go} does not say its version: {said.stdout}{said.stderr}", hint=hint)
    if (int(found[1]), int(found[2])) < (int(wanted[0]), int(wanted[1])):
        raise NoToolchain(
            f"building Kubernetes needs {at_least}, and {go} is {found[1]}.{found[2]}", hint=hint
        )
    return go


def _environment() -> dict[str, str]:
    """Return the environment of every go command: nothing of the caller's changes the result."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE")
    }
    return kept | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }


@contextlib.contextmanager
def _locked(cache: Path, *, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache; the lock goes with its process, however that ends."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another process builds; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob("*/.build-*"):
            shutil.rmtree(left)
        yield


def _build(binary: Binary, *, go: str, path: Path, tell: Callable[[str], None]) -> None:
    begin = time.monotonic()
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        output = Path(folder) / binary.name
        if binary.version:
            command = [go, "install", *binary.flags, f"{binary.package}@{binary.version}"]
            environment = _environment() | {"GOBIN": folder}
        else:
            command = [go, "build", *binary.flags, f"-o={output}", binary.package]
            environment = _environment()
        _run(command, environment=environment, name=binary.name, tell=tell)
        size = output.stat().st_size / 1e6
        output.rename(path)
    tell(f"{binary.name}: built in {time.monotonic() - begin:.0f} s, {size:.0f} MB")


def _run(
    command: list[str], *, environment: dict[str, str], name: str, tell: Callable[[str], None]
) -> None:
    begin = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=MODULE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            while True:
                try:
                    said, _ = process.communicate(timeout=_STILL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    tell(f"{name}: still building after {time.monotonic() - begin:.0f} s")
        except BaseException:
            process.terminate()
            raise
    if process.returncode == 0:
        return
    lines = [line for line in said.splitlines() if not line.startswith("go: downloading")]
    message = f"{name} could not be built:\n" + "\n".join(lines[-20:])
    if _UNREACHABLE.search(message):
        raise Unreachable(
            message,
            hint="the Go modules could not be fetched: is the network there, and does `go env "
            "GOPROXY` name a proxy that this machine can reach?",
        )
    raise CannotBuild(
        message,
        hint=f"go.mod and go.sum in {MODULE} say what is built; `go clean -modcache` makes Go "
        "fetch it anew, and a full disk or too little memory (4 GB) looks like this, too",
    )


def main() -> None:
    """Build what the command line names, everything by default."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"any of {', '.join(BINARIES)}; all by default")
    parser.add_argument("--cache", type=Path, help=f"default: {CACHE_VARIABLE}, or below ~/.cache")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.name if name not in BINARIES]:
        parser.error(f"unknown {', '.join(unknown)}: choose from {', '.join(BINARIES)}")
    try:
        paths = built(
            arguments.name or list(BINARIES),
            cache=arguments.cache,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except CannotBuild as error:
        sys.exit(f"error: {error}")
    for path in paths.values():
        print(path)


if __name__ == "__main__":
    main()
