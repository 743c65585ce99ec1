"""Deletes files that no manifest names and checkpoints that nobody came back for, in due time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nanodex.api.stages import StageName
from nanodex.artifacts import layout
from nanodex.artifacts.artifact import GRACE, list_manifests
from nanodex.artifacts.store import ObjectStore

# A training that was stopped may go on within this time.
CHECKPOINT_GRACE = timedelta(days=14)


@dataclass(frozen=True)
class Collected:
    """What a collection did; sizes in bytes."""

    deleted: int
    freed: int


def collect_garbage(
    store: ObjectStore, *, scope: str, grace: timedelta = GRACE, now: datetime | None = None
) -> Collected:
    """Delete the files of `scope` that no manifest names and that are older than `grace`.

    Checkpoints and progress of trainings go when they are older than `CHECKPOINT_GRACE`.

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
    now = now or datetime.now(UTC)
    oldest = now - grace
    blobs = list(store.entries(layout.blobs_prefix(scope)))
    named = {
        layout.blob_name(scope=scope, sha256=entry.sha256)
        for stage in StageName
        for manifest, _ in list_manifests(store, scope=scope, stage=stage)
        for entry in manifest.files
    }
    unused = [blob for blob in blobs if blob.name not in named and blob.modified <= oldest]
    forgotten = [
        info
        for info in store.entries(layout.stage_prefix(scope=scope, stage=StageName.TRAIN))
        if not info.name.endswith(f"/{layout.MANIFEST}") and info.modified <= now - CHECKPOINT_GRACE
    ]
    deleted = freed = 0
    for candidate in (*unused, *forgotten):
        current = store.info(candidate.name)
        if current is not None and current.modified == candidate.modified:
            store.delete(candidate.name)
            deleted += 1
            freed += current.size
    return Collected(deleted=deleted, freed=freed)
