"""How images are built and what is looked for in them.

Docker, podman and buildah are not run here: `make images` and `make images-check` do that.
"""

import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tomllib
import types
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from hack.debian import Lacks, ensure
from hack.images.__main__ import builder
from hack.images.base import with_updates
from hack.images.bill import bill_of_materials
from hack.images.catalog import IMAGES, ROOT, chosen
from hack.images.check import findings, import_program, licence_table
from hack.images.contents import Contents, Package, certificates, read_contents
from hack.images.machine import authorities, parse_pip_config, pip_config, private_values
from hack.images.tool import (
    CONTAINERS_CONF,
    BuildFailed,
    Recipe,
    Tool,
    find,
    needs_own_settings,
    run_step,
)
from images.install import PACKAGES as SITE_PACKAGES
from images.install import chosen as chosen_lines
from images.rootfs import PACKAGES

GOOD = {
    "User": "65532:65532",
    "Labels": {
        f"org.opencontainers.image.{label}": "x"
        for label in ("title", "description", "licenses", "version", "revision")
    },
}
METADATA = b"Metadata-Version: 2.4\nName: attrs\nVersion: 26.1.0\nLicense-Expression: MIT\n\n"
STANZA = b"Package: libc6\nVersion: 2.36-9\nDescription: C library\n more\n"
PEM = b"-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n"


def tar(*files: tuple[str, bytes, int]) -> io.BytesIO:
    """Return a stream of files: path, content, mode."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    stream.seek(0)
    return stream


def test_each_image_has_a_containerfile_that_takes_its_base_as_an_argument() -> None:
    for image in IMAGES.values():
        text = image.containerfile.read_text()
        assert text.count("ARG BASE=docker.io/library/python:3.13-slim") == 1
        assert ("ARG TORCH=" in text) == bool(image.above)
        assert "USER 65532:65532" in text or image.above


def test_an_image_is_built_after_the_one_that_it_stands_on() -> None:
    assert [image.name for image in chosen(["vllm-cpu", "trainer"])] == [
        "torch",
        "trainer",
        "vllm-cpu",
    ]
    assert [image.name for image in chosen([])] == list(IMAGES)


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_what_a_build_must_know_of_the_machine_is_a_secret_and_no_argument(name: str) -> None:
    tool = Tool(name)  # type: ignore[arg-type]
    command = tool.build(
        Recipe(
            reference="localhost/x:1",
            containerfile=Path("/src/Containerfile"),
            context=Path("/src"),
            arguments={"BASE": "localhost/base:1"},
            secrets={"pip.conf": Path("/run/user/pip.conf")},
        )
    )
    assert command[:2] == [name, "build"]
    assert command[-1] == "/src"
    assert command[command.index("--secret") + 1] == "id=pip.conf,src=/run/user/pip.conf"
    assert [command[i + 1] for i, word in enumerate(command) if word == "--build-arg"] == [
        "BASE=localhost/base:1"
    ]
    # A container on a build machine has not the rights that another isolation needs.
    assert ("chroot" in command) == (name != "docker")


def test_without_a_tool_the_user_reads_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Lacks, match="apt-get install podman"):
        find({})
    with pytest.raises(Lacks, match="'docker', which does not answer"):
        find({"NANODEX_IMAGE_TOOL": "docker"})


@pytest.mark.parametrize("said", ["copier: No space left on device", "no space left on device\n"])
def test_a_full_disk_is_said_in_a_line_with_what_gives_room(said: str) -> None:
    program = f"import sys; print({'x' * 5000!r} + sys.argv[1]); sys.exit(1)"

    with pytest.raises(Lacks, match=r"^the disk is full: y could not be built\. `podman image"):
        run_step([sys.executable, "-c", program, said], failure="y could not be built")
    with pytest.raises(BuildFailed, match=r"y could not be built:\n.*x: other"):
        run_step([sys.executable, "-c", program, ": other"], failure="y could not be built")


def test_a_docker_without_its_engine_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, code in (("docker", 1), ("buildah", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find({}).name == "buildah"


def test_a_missing_package_is_named_to_who_may_not_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Lacks, match=r"as root, run: apt-get install .* not-there$"):
        ensure({"not-there-bin": "not-there"}, tell=print)


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of PATH, and gets a program for each package that is installed."""
    (tmp_path / "apt-get").write_text(
        "#!/bin/sh\n"
        'if [ "$1" = install ]; then for name; do\n'
        f'  case "$name" in install|-*) ;; *) /bin/cp /bin/true {tmp_path}/$name ;; esac\n'
        "done; fi\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(
        "hack.debian.found", lambda program: (tmp_path / Path(program).name).exists()
    )
    return tmp_path


def test_podman_is_installed_where_nothing_builds_unless_the_user_names_what_does(
    monkeypatch: pytest.MonkeyPatch, debian: Path
) -> None:
    monkeypatch.setenv("NANODEX_IMAGE_TOOL", "buildah")
    with pytest.raises(Lacks, match="'buildah', which does not answer"):
        builder()
    monkeypatch.delenv("NANODEX_IMAGE_TOOL")
    assert builder().name == "podman"


@pytest.mark.parametrize("there", [(), ("podman",)])
def test_podman_comes_with_what_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, debian: Path, there: tuple[str, ...]
) -> None:
    monkeypatch.setattr("hack.images.tool.needs_own_settings", lambda: True)
    for name in there:
        shutil.copy("/bin/true", debian / name)
    assert builder().name == "podman"
    settings = tomllib.loads(CONTAINERS_CONF.read_text(encoding="utf-8"))
    named = {settings["engine"]["runtime"], settings["network"]["network_backend"]}
    assert {one.name for one in debian.iterdir()} >= {*named, "aardvark-dns"}


def test_podman_gets_settings_of_its_own_where_its_defaults_fail(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    cgroup.mkdir()
    (proc / "self" / "status").write_text("CapEff:\t000001ffffffffff\n")
    assert needs_own_settings(proc, cgroup), "legacy cgroups"
    (cgroup / "cgroup.controllers").touch()
    assert not needs_own_settings(proc, cgroup)
    (proc / "self" / "status").write_text("CapEff:\t000001fffeffffff\n")
    assert needs_own_settings(proc, cgroup), "no CAP_SYS_RESOURCE"


def test_a_layer_holds_what_the_one_below_has_not() -> None:
    wanted = "# pins\nnumpy==2.3.5 ; python_full_version < '3.13'\nTorch==2.13.0\npeft==0.21.2\n"
    assert chosen_lines(wanted, without="torch==2.13.0\n") == [
        "numpy==2.3.5 ; python_full_version < '3.13'",
        "peft==0.21.2",
    ]


def test_packages_lie_where_libraries_take_them_for_installed() -> None:
    """Dill pickles modules of any other folder whole, and pyarrow's cannot be pickled."""
    from dill._dill import _is_builtin_module

    for folder in PACKAGES:
        assert Path(folder).name == SITE_PACKAGES
        module = types.ModuleType("module")
        module.__file__ = f"{folder}/module/__init__.py"
        assert _is_builtin_module(module)


def test_a_build_reaches_the_package_index_of_this_machine() -> None:
    settings = parse_pip_config(
        "global.index-url='https://files.invalid/simple'\n:env:.index-url='https://u:p@a.invalid/s'\n"
        "global.timeout='60'\nglobal.find-links='/opt/wheels https://b.invalid/w'\n"
    )
    assert settings["index-url"] == "https://u:p@a.invalid/s"
    text = pip_config(settings, authorities=True)
    assert "https://u:p@a.invalid/s" in text
    assert "/opt/wheels" not in text, "a folder that the build does not see"
    assert "cert = /run/secrets/ca.pem" in text
    assert private_values(settings) == {b"a.invalid", b"p", b"b.invalid"}


def test_the_public_index_is_no_secret() -> None:
    assert private_values({"index-url": f"https://{PyPI.netloc}/simple"}) == set()


def test_the_authorities_are_those_that_the_machine_names(tmp_path: Path) -> None:
    ours = tmp_path / "ours.pem"
    ours.write_bytes(PEM)
    assert authorities({"cert": str(ours)}, environment={}) == ours
    assert authorities({}, environment={"SSL_CERT_FILE": str(ours)}) == ours
    assert authorities({}, environment={}) is None


def test_packages_are_read_from_what_installers_leave() -> None:
    contents = read_contents(
        tar(
            ("opt/nanodex/site-packages/attrs-26.1.0.dist-info/METADATA", METADATA, 0o644),
            ("var/lib/dpkg/status.d/libc6", STANZA, 0o644),
            ("usr/share/doc/libc6/copyright", b"Format: x\n\nLicense: LGPL-2.1\n text\n", 0o644),
        )
    )
    assert [(one.kind, one.name, one.version, one.licences) for one in contents.packages] == [
        ("deb", "libc6", "2.36-9", ("LGPL-2.1",)),
        ("pypi", "attrs", "26.1.0", ("MIT",)),
    ]
    assert licence_table(contents.packages).splitlines()[1] == "pypi\tattrs\t26.1.0\tMIT"


def test_a_package_may_hold_its_licence_as_a_text_or_nothing_that_needs_one() -> None:
    def files(name: str, metadata: str, *held: str) -> list[tuple[str, bytes, int]]:
        place = f"{name}-1.dist-info"
        record = "".join(f"{file},,\n" for file in (f"{place}/METADATA", *held))
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{metadata}\n"
        return [
            (f"opt/torch/site-packages/{place}/METADATA", head.encode(), 0o644),
            (f"opt/torch/site-packages/{place}/RECORD", record.encode(), 0o644),
        ]

    contents = read_contents(
        tar(
            *files("meta", "Requires-Dist: other\n"),
            *files("other", "", "other/__init__.py"),
            *files("text", "License-File: LICENSE\n", "text.py"),
        )
    )
    assert {one.name: one.licences for one in contents.packages} == {
        "meta": ("holds no files",),
        "other": (),
        "text": ("see LICENSE",),
    }


def test_rights_programs_and_traces_are_found() -> None:
    contents = read_contents(
        tar(
            ("usr/bin/su", b"x", 0o4755),
            ("usr/bin/pip", b"x", 0o755),
            ("etc/open", b"x", 0o666),
            ("etc/pip.conf", b"index-url = https://a.invalid/simple", 0o644),
            ("etc/ssl/certs/ca.pem", PEM, 0o644),
            ("opt/app/public.pem", PEM.replace(b"QUJD", b"WFla"), 0o644),
        ),
        traces={b"a.invalid"},
        foreign=certificates(PEM),
    )
    assert contents.raised == ["usr/bin/su"]
    assert contents.writable == ["etc/open"]
    assert contents.programs == {"su", "pip"}
    assert contents.traces == ["etc/pip.conf", "etc/ssl/certs/ca.pem"]


def test_a_certificate_that_a_package_came_with_says_nothing_of_the_machine() -> None:
    record = f"grpc/roots.pem,{recorded(PEM)},{len(PEM)}\ngrpc/added.pem,{recorded(b'else')},9\n"
    contents = read_contents(
        tar(
            ("opt/torch/site-packages/grpc/roots.pem", PEM, 0o644),
            ("opt/torch/site-packages/grpc/added.pem", PEM, 0o644),
            ("opt/torch/site-packages/grpcio-1.dist-info/RECORD", record.encode(), 0o644),
        ),
        foreign=certificates(PEM),
    )
    assert contents.traces == ["opt/torch/site-packages/grpc/added.pem"]


def recorded(data: bytes) -> str:
    """Return the digest of a file as a wheel's RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return f"sha256={digest.rstrip('=')}"


def test_a_good_image_has_no_findings() -> None:
    contents = Contents(bytes=1000, programs={"python3", "nanodex"}, sources=100, compiled=100)
    assert findings(IMAGES["operator"], contents=contents, configuration=GOOD) == []


@pytest.mark.parametrize(
    ("contents", "configuration", "said"),
    [
        (Contents(bytes=10**12), GOOD, "the budget is"),
        (Contents(), GOOD | {"User": ""}, "it runs as root"),
        (Contents(), GOOD | {"Labels": {}}, "no label org.opencontainers.image.title"),
        (Contents(raised=["usr/bin/su"]), GOOD, "usr/bin/su has the setuid"),
        (Contents(writable=["etc/x"]), GOOD, "etc/x can be changed"),
        (Contents(programs={"gcc"}), GOOD, "gcc is a build tool"),
        (Contents(programs={"sh"}), GOOD, "sh is a shell"),
        (Contents(traces=["etc/pip.conf"]), GOOD, "etc/pip.conf tells about the machine"),
        (Contents(sources=100, compiled=50), GOOD, "only 50% of its Python files"),
        (
            Contents(packages=[Package(kind="pypi", name="x", version="1", licences=())]),
            GOOD,
            "x names no licence",
        ),
    ],
)
def test_each_flaw_is_a_finding(
    contents: Contents, configuration: dict[str, object], said: str
) -> None:
    found = findings(IMAGES["operator"], contents=contents, configuration=configuration)
    assert any(said in sentence for sentence in found)


def test_the_program_that_tries_an_image_is_python() -> None:
    for image in IMAGES.values():
        compile(import_program(image), image.name, "exec")


def test_a_bill_of_materials_is_cyclonedx_and_always_the_same() -> None:
    packages = [
        Package(kind="pypi", name="attrs", version="26.1.0", licences=("MIT",), summary="Classes"),
        Package(kind="deb", name="libc6", version="2.36-9", licences=("GPL-2", "own words")),
    ]
    bill = bill_of_materials("nanodex-operator", version="0.1.0", packages=packages)
    assert bill == bill_of_materials("nanodex-operator", version="0.1.0", packages=packages[::-1])
    components = {one["name"]: one for one in json.loads(bill)["components"]}
    assert components["attrs"]["purl"] == "pkg:pypi/attrs@26.1.0"
    assert components["attrs"]["licenses"] == [
        {"license": {"acknowledgement": "declared", "id": "MIT"}}
    ] or components["attrs"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert components["libc6"]["purl"] == "pkg:deb/debian/libc6@2.36-9"


def test_the_build_sees_what_the_containerfiles_copy_and_no_more() -> None:
    shown = {
        line[1:].split("/")[0]
        for line in (ROOT / ".containerignore").read_text().splitlines()
        if line.startswith("!")
    }
    files = [image.containerfile for image in IMAGES.values()]
    files.append(ROOT / "hack" / "kind" / "world" / "git" / "Containerfile")
    copied = {
        word.split("/")[0]
        for file in files
        for line in file.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied == shown
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_a_base_made_here_gets_its_updates_from_where_it_came() -> None:
    assert with_updates("deb http://debian.example/debian bookworm main\n").splitlines() == [
        "deb http://debian.example/debian bookworm main",
        "deb http://debian.example/debian bookworm-updates main",
        "deb http://debian.example/debian-security bookworm-security main",
    ]
