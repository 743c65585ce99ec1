"""Deletes files that no manifest names and checkpoints that nobody came back for, in due time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nanodex.api.stages import StageName
from nanodex.artifacts import layout
from nanodex.artifacts.artifact import GRACE, list_manifests
from nanodex.artifacts.store import ObjectInfo, ObjectStore

# A training that was stopped may go on within this time.
CHECKPOINT_GRACE = timedelta(days=14)


@dataclass(frozen=True)
class Collected:
    """What a collection did: objects deleted, bytes freed, files that stay."""

    deleted: int
    freed: int
    kept: int


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
    blobs = list(store.entries(layout.blobs_prefix(scope)))
    named = {
        layout.blob_name(scope=scope, sha256=entry.sha256)
        for stage in StageName
        for manifest, _ in list_manifests(store, scope=scope, stage=stage)
        for entry in manifest.files
    }
    unused = [blob for blob in blobs if blob.name not in named]
    trainings = store.entries(layout.stage_prefix(scope=scope, stage=StageName.TRAIN))
    unfinished = [info for info in trainings if not info.name.endswith(f"/{layout.MANIFEST}")]
    files = [info for info in unused if _delete_if_older(store, info, now - grace)]
    forgotten = [
        info for info in unfinished if _delete_if_older(store, info, now - CHECKPOINT_GRACE)
    ]
    return Collected(
        deleted=len(files) + len(forgotten),
        freed=sum(info.size for info in (*files, *forgotten)),
        kept=len(blobs) - len(files),
    )


def _delete_if_older(store: ObjectStore, info: ObjectInfo, limit: datetime) -> bool:
    if info.modified > limit:
        return False
    current = store.info(info.name)
    if current is None or current.modified > limit:
        return False
    store.delete(info.name)
    return True
