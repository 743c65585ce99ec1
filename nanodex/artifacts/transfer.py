"""Brings artifacts back, byte for byte what their manifests say, or not at all."""

import hashlib
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from nanodex.api.manifest import FileEntry, Manifest
from nanodex.artifacts import layout
from nanodex.artifacts.artifact import remove
from nanodex.artifacts.files import mismatch, scan, write_verified
from nanodex.artifacts.store import ObjectMissing, ObjectStore
from nanodex.errors import NanodexError


def fetch(manifest: Manifest, *, store: ObjectStore, destination: Path) -> Path:
    """Return `destination`, holding the artifact's files, every SHA-256 verified.

    A folder that is there already is verified and kept, or replaced where it differs. The files
    are written beside it and renamed, so `destination` is never half full.

    Raises:
        TryAgain: DigestMismatch, the store holds other bytes or lacks a file; or it is away.
        UserError: a path of the manifest leaves the folder.
        NotServable: a file has a format that may execute code when it is read.
    """
    if _is_complete(destination, manifest):
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    incoming = Path(mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        for entry in manifest.files:
            name = layout.blob_name(scope=manifest.scope, sha256=entry.sha256)
            origin = f"{store.uri}/{name}"
            try:
                write_verified(incoming, entry, store.stream(name), origin=origin)
            except ObjectMissing:
                raise mismatch(entry.path, origin=origin) from None
        _put_in_place(incoming, destination, manifest)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return destination


def verify(manifest: Manifest, *, store: ObjectStore) -> tuple[FileEntry, ...]:
    """Read every file of an artifact from the store and return those that are damaged or gone."""
    damaged = []
    for entry in manifest.files:
        if not _is_intact(entry, scope=manifest.scope, store=store):
            damaged.append(entry)
    return tuple(damaged)


def discard(manifest: Manifest, *, store: ObjectStore) -> tuple[FileEntry, ...]:
    """Take back the commit and delete the damaged files, so that the stage makes them again.

    Returns:
        The files that were damaged or gone.
    """
    remove(store, manifest)
    damaged = verify(manifest, store=store)
    for entry in damaged:
        store.delete(layout.blob_name(scope=manifest.scope, sha256=entry.sha256))
    return damaged


def _is_intact(entry: FileEntry, *, scope: str, store: ObjectStore) -> bool:
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in store.stream(layout.blob_name(scope=scope, sha256=entry.sha256)):
            digest.update(chunk)
            size += len(chunk)
    except ObjectMissing:
        return False
    return size == entry.size and digest.hexdigest() == entry.sha256


def _is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether `folder` holds exactly the files of `manifest`, unchanged."""
    if not folder.is_dir():
        return False
    try:
        return tuple(scan(folder)) == manifest.files
    except NanodexError:
        return False


def _put_in_place(incoming: Path, destination: Path, manifest: Manifest) -> None:
    # A rename onto a folder with files fails: what is there is damaged, or another process was
    # quicker. Only the first is moved away.
    for _ in range(3):
        try:
            os.rename(incoming, destination)
            return
        except OSError:
            if _is_complete(destination, manifest):
                return
            old = Path(mkdtemp(prefix=f".{destination.name}-old-", dir=destination.parent))
            os.rename(destination, old)
            shutil.rmtree(old, ignore_errors=True)
    os.rename(incoming, destination)
