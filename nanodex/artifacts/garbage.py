"""Deletes files that no manifest names, long enough after the last run could still want them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nanodex.api.stages import StageName
from nanodex.artifacts import layout
from nanodex.artifacts.artifact import GRACE, list_manifests
from nanodex.artifacts.store import ObjectStore


@dataclass(frozen=True)
class Collected:
    """What a collection did; sizes in bytes."""

    deleted: int
    freed: int
    kept: int


def collect_garbage(
    store: ObjectStore, *, scope: str, grace: timedelta = GRACE, now: datetime | None = None
) -> Collected:
    """Delete the files of `scope` that no manifest names and that are older than `grace`.

    Files are listed before manifests, and each is looked at again before it goes: a run that
    publishes meanwhile sends an old file anew, which makes it young. So `grace` must be longer than
    a publication takes; below `GRACE` no other run may be under way.

    Args:
        store: where.
        scope: namespace.
        grace: age below which a file stays.
        now: the present, for tests.

    Raises:
        TryAgain: the store is away, or a manifest is damaged: then nothing is deleted.
    """
    oldest = (now or datetime.now(UTC)) - grace
    blobs = list(store.entries(layout.blobs_prefix(scope)))
    named = {
        layout.blob_name(scope=scope, sha256=entry.sha256)
        for stage in StageName
        for manifest, _ in list_manifests(store, scope=scope, stage=stage)
        for entry in manifest.files
    }
    deleted = freed = 0
    for blob in blobs:
        if blob.name in named or blob.modified > oldest:
            continue
        current = store.info(blob.name)
        if current is None or current.modified > oldest:
            continue
        store.delete(blob.name)
        deleted += 1
        freed += current.size
    return Collected(deleted=deleted, freed=freed, kept=len(blobs) - deleted)
