"""What a cluster on this machine is made of; that it comes up is shown by tests/cluster."""

import json
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from hack.debian import Lacks
from hack.images.tool import Tool
from hack.kind.archive import write_archive
from hack.kind.cluster import DEFAULT_NAME, Cluster, Failed, cluster_config, kubeconfig
from hack.kind.control_plane import POLICIES, firewall_files
from hack.kind.loading import load
from hack.kind.node_image import HERE
from hack.kind.provider import Provider, engine

NODE = HERE / "node"


@pytest.mark.parametrize(
    ("environment", "docker", "chosen"),
    [
        ({}, True, "docker"),
        ({}, False, "podman"),
        ({"KIND_EXPERIMENTAL_PROVIDER": "podman"}, True, "podman"),
        ({"KIND_EXPERIMENTAL_PROVIDER": "docker"}, False, "docker"),
    ],
)
def test_the_engine_is_what_the_user_names_else_what_answers(
    environment: dict[str, str], docker: bool, chosen: str
) -> None:
    assert engine(environment, docker=docker) == chosen


def test_a_cluster_of_the_public_image_needs_no_settings() -> None:
    config = cluster_config(nodes=2, own=False)
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker"]
    assert "kubeadmConfigPatches" not in config


def test_a_cluster_of_our_image_is_told_how_the_image_is_made() -> None:
    config = cluster_config(nodes=1, own=True)
    assert [node["role"] for node in config["nodes"]] == ["control-plane"]
    assert "cgroupDriver: cgroupfs" in config["kubeadmConfigPatches"][0]


def test_files_about_a_cluster_stay_in_the_cache_of_the_checkout() -> None:
    assert kubeconfig(DEFAULT_NAME).parts[-4:] == (".cache", "kind", "nanodex", "kubeconfig")


def test_our_node_runs_the_image_that_enforces_policies_and_is_told_the_ranges_of_the_cluster() -> (
    None
):
    manifest = NODE / "kind" / "manifests" / "default-cni.yaml"
    [runner] = [
        one
        for one in yaml.safe_load_all(manifest.read_text(encoding="utf-8"))
        if one["kind"] == "DaemonSet"
    ]
    [container] = runner["spec"]["template"]["spec"]["containers"]
    assert container["image"] == POLICIES
    services = cluster_config(nodes=1, own=True)["networking"]["serviceSubnet"]
    assert f"--service-cluster-ip-range={services}" in container["args"]


def test_an_archive_is_an_image_and_always_the_same(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    archives = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for archive in archives:
        write_archive(
            archive,
            reference="registry.k8s.io/pause:3.10",
            files={"/pause": program},
            entrypoint=["/pause"],
        )
        program.touch()
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as tar:
        [manifest] = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert manifest["RepoTags"] == ["registry.k8s.io/pause:3.10"]
        config = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        assert config["config"]["Entrypoint"] == ["/pause"]
        layer = tar.extractfile(manifest["Layers"][0])
        with tarfile.open(fileobj=layer) as files:
            assert [(one.name, one.mode, one.uid) for one in files] == [("pause", 0o755, 0)]


def test_iptables_of_another_root_is_found_behind_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for folder in ("usr/sbin", "usr/lib/x86_64-linux-gnu/xtables", "etc/alternatives"):
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/sbin/xtables-nft-multi").write_bytes(b"program")
    (root / "usr/sbin/ipset").write_bytes(b"sets")
    (root / "usr/lib/x86_64-linux-gnu/xtables/libxt_statistic.so").write_bytes(b"extension")
    (root / "usr/lib/x86_64-linux-gnu/libm.so.6.1").write_bytes(b"libm")
    (root / "usr/lib/x86_64-linux-gnu/libm.so.6").symlink_to("/lib/x86_64-linux-gnu/libm.so.6.1")
    chroot = tmp_path / "bin" / "chroot"
    chroot.parent.mkdir()
    chroot.write_text(
        "#!/bin/sh\nprintf '\\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\\n'\n"
    )
    chroot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{chroot.parent}:/usr/bin:/bin")
    files = firewall_files(root, folder=tmp_path / "firewall")
    assert files["/lib/x86_64-linux-gnu/libm.so.6"].read_bytes() == b"libm"
    assert (
        files["/usr/lib/x86_64-linux-gnu/xtables/libxt_statistic.so"].read_bytes() == b"extension"
    )
    assert files["/usr/sbin/ipset"].read_bytes() == b"sets"
    assert files["/usr/sbin/iptables-restore"].readlink() == Path("xtables-nft-multi")


# Saves two pieces and a bit; a node writes what it is given to a file, or refuses.
_PODMAN = """\
#!/bin/sh
if [ "$1" = save ]; then echo once >> "$HERE/saved"; head -c 2500000 /dev/zero; exit "$SAVES"; fi
case "$3" in
  full) echo "write /var: no space left on device" >&2; exit 1 ;;
  broken) echo "no such snapshotter" >&2; exit 1 ;;
  unpacking) cat > "$HERE/$3"
    for _ in $(seq 50); do if [ -e "$HERE/other" ]; then exit 0; fi; sleep 0.1; done
    echo "alone" >&2; exit 1 ;;
  *) cat > "$HERE/.$3" && mv "$HERE/.$3" "$HERE/$3" ;;
esac
"""


def _cluster_of(
    nodes: Sequence[str], *, folder: Path, monkeypatch: pytest.MonkeyPatch, saves: int = 0
) -> Cluster:
    (folder / "podman").write_text(_PODMAN)
    (folder / "podman").chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HERE": str(folder),
        "SAVES": f"{saves}",
    }
    monkeypatch.setenv("PATH", environment["PATH"])
    monkeypatch.setattr("hack.kind.cluster._tools", dict)
    monkeypatch.setattr("hack.kind.loading.folder", lambda name: folder)
    monkeypatch.setattr(Cluster, "nodes", lambda cluster: nodes)
    monkeypatch.setattr(Cluster, "on_node", lambda cluster, *command: "")
    provider = Provider(tool=Tool("podman"), environment=environment)
    return Cluster(DEFAULT_NAME, provider=provider, tell=print)


def test_images_are_read_once_for_all_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(_cluster_of(["a", "b"], folder=tmp_path, monkeypatch=monkeypatch), ["localhost/x:1"])
    assert (tmp_path / "saved").read_text() == "once\n"
    assert [(tmp_path / node).stat().st_size for node in ("a", "b")] == [2500000, 2500000]


def test_nodes_unpack_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = ["unpacking", "other"]
    load(_cluster_of(nodes, folder=tmp_path, monkeypatch=monkeypatch), ["localhost/x:1"])
    assert (tmp_path / "other").stat().st_size == 2500000


@pytest.mark.parametrize(
    ("nodes", "saves", "kind", "message"),
    [
        (["a", "full"], 0, Lacks, "the disk is full: localhost/x:1 do not fit on full"),
        (["a", "broken"], 0, Failed, "could not be copied to broken:\n.*no such snapshotter"),
        (["a"], 125, Failed, "could not be copied to a:"),
    ],
)
def test_a_node_that_refuses_images_is_named_and_the_others_have_them(
    nodes: Sequence[str],
    saves: int,
    kind: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = _cluster_of(nodes, folder=tmp_path, monkeypatch=monkeypatch, saves=saves)
    with pytest.raises(kind, match=re.compile(message, re.DOTALL)):
        load(cluster, ["localhost/x:1"])
    assert (tmp_path / "a").stat().st_size == 2500000
