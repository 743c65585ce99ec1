"""Image archives from plain files: the control plane's images need no tool to be built.

Each is one layer of static binaries under the name that kubeadm asks for, written as what
`docker save` writes and containerd imports. The same files give the same bytes.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_archive(
    archive: Path, *, reference: str, files: Mapping[str, Path], entrypoint: Sequence[str]
) -> None:
    """Write an image.

    Args:
        archive: File to write.
        reference: The image's full name.
        files: What is in it: absolute paths in the image, and the file or folder that is there.
        entrypoint: Its command.
    """
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, source in sorted(files.items()):
            tar.add(source, arcname=path.lstrip("/"), filter=_plain)
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": [_PATH]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, name, config)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        with layer.open("rb") as stream:
            _add(tar, "layer.tar", stream, size=layer.stat().st_size)
    layer.unlink()


def _add(tar: tarfile.TarFile, name: str, data: bytes | IO[bytes], *, size: int = 0) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data) if isinstance(data, bytes) else size
    tar.addfile(entry, io.BytesIO(data) if isinstance(data, bytes) else data)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
