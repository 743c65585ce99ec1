"""Publishes and finds artifacts: files go first, the manifest commits, the first one wins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanodex.api.manifest import FileEntry, Manifest
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.stages import StageName
from nanodex.artifacts import layout
from nanodex.artifacts.files import scan
from nanodex.artifacts.store import ObjectMissing, ObjectStore
from nanodex.errors import TryAgain, UserError

# Files without a manifest are kept this long: they may belong to a run that still publishes.
GRACE = timedelta(hours=24)
_MANIFEST_LIMIT = 16 << 20


@dataclass(frozen=True)
class Published:
    """The manifest that stands in the store, and whether this call put it there."""

    manifest: Manifest
    first: bool


def publish(
    folder: Path,
    *,
    store: ObjectStore,
    stage: StageName,
    key: str,
    scope: str,
    upstream: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    base_model_revision: str = "",
    image: str = "",
) -> Published:
    """Upload the files of `folder` and commit them as the artifact of `key`.

    Files that the store has are not sent again, so a second attempt goes on where one broke off.
    Where another writer was first, its manifest is returned and ours is dropped: equal keys mean
    equally good results.

    Args:
        folder: what the stage wrote; nobody writes there any more.
        store: where to.
        stage: the stage that ran.
        key: its key, 64 hexadecimal digits.
        scope: namespace that owns the artifact.
        upstream: digests that the run read, by stage.
        parameters: parameters of the run, as JSON values.
        metrics: figures that the stage reported.
        base_model_revision: revision of the base model, where it was used.
        image: digest of the image that ran.

    Raises:
        NotServable: a file has a format that may execute code when it is read.
        UserError: the folder is empty or holds links, or the store refuses.
        TryAgain: the store stayed away for longer than its patience, or a file changed meanwhile.
    """
    entries = tuple(scan(folder))
    if not entries:
        raise UserError(
            f"{stage} wrote no files",
            reason=Reason.INVALID_INPUT,
            hint="An artifact needs at least one file.",
        )
    manifest = Manifest(
        stage=stage,
        key=key,
        scope=scope,
        files=entries,
        upstream=dict(upstream or {}),
        parameters=dict(parameters or {}),
        metrics=dict(metrics or {}),
        base_model_revision=base_model_revision,
        image=image,
    )
    for entry in {entry.sha256: entry for entry in entries}.values():
        _upload_once(folder, entry, store=store, scope=scope)
    name = layout.manifest_name(scope=scope, stage=stage, key=key)
    if store.write_if_absent(name, manifest.model_dump_json(indent=1).encode()):
        return Published(manifest, first=True)
    winner = find(store, scope=scope, stage=stage, key=key)
    if winner is None:
        raise TryAgain(
            f"the manifest {name} was there and is gone",
            reason=Reason.STORE_UNAVAILABLE,
            hint="Somebody deletes artifacts at this moment; run the same command again.",
            exit_code=ExitCode.STORE_UNAVAILABLE,
        )
    # A write whose answer was lost and that was sent again loses to itself.
    return Published(winner, first=winner == manifest)


def find(store: ObjectStore, *, scope: str, stage: StageName, key: str) -> Manifest | None:
    """Return the manifest of a run, None where none is committed.

    Raises:
        TryAgain: DigestMismatch, the object is no manifest of this run; or the store is away.
    """
    return _load(store, layout.manifest_name(scope=scope, stage=stage, key=key))


def list_manifests(
    store: ObjectStore, *, scope: str, stage: StageName
) -> Iterator[tuple[Manifest, datetime]]:
    """Yield the committed runs of a stage with the time of their commit, sorted by key."""
    for info in store.entries(layout.stage_prefix(scope=scope, stage=stage)):
        if info.name.count("/") == 4 and info.name.endswith(f"/{layout.MANIFEST}"):
            manifest = _load(store, info.name)
            if manifest is not None:
                yield manifest, info.modified


def remove(store: ObjectStore, manifest: Manifest) -> None:
    """Take back a commit; its files stay until `collect_garbage` finds them unused."""
    store.delete(layout.manifest_name(scope=manifest.scope, stage=manifest.stage, key=manifest.key))


def _load(store: ObjectStore, name: str) -> Manifest | None:
    try:
        data = store.read(name, limit=_MANIFEST_LIMIT)
    except ObjectMissing:
        return None
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise _not_a_manifest(store, name, why=f"{error.error_count()} fields are wrong") from error
    at = layout.manifest_name(scope=manifest.scope, stage=manifest.stage, key=manifest.key)
    if at != name:
        raise _not_a_manifest(store, name, why=f"it belongs to {at}")
    return manifest


def _upload_once(folder: Path, entry: FileEntry, *, store: ObjectStore, scope: str) -> None:
    name = layout.blob_name(scope=scope, sha256=entry.sha256)
    info = store.info(name)
    # An old file may be garbage that is about to be collected: sending it again makes it young.
    if info is None or info.size != entry.size or datetime.now(UTC) - info.modified > GRACE / 2:
        store.upload(name, folder / entry.path, sha256=entry.sha256)


def _not_a_manifest(store: ObjectStore, name: str, *, why: str) -> TryAgain:
    return TryAgain(
        f"{store.uri}/{name} is not a manifest: {why}",
        reason=Reason.DIGEST_MISMATCH,
        hint="It is damaged or of another version of nanodex; delete this object and run the "
        "stage again.",
        exit_code=ExitCode.DIGEST_MISMATCH,
    )
