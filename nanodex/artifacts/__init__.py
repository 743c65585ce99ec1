"""Content-addressed artifacts in a folder or an S3 bucket, behind one protocol.

store = open_store("s3://bucket/prefix")
published = publish(folder, store=store, stage=StageName.EXTRACT, key=key, scope="team-a")
fetch(published.manifest, store=store, destination=Path("graph"))
"""

from nanodex.artifacts.artifact import GRACE, Published, find, list_manifests, publish, remove
from nanodex.artifacts.garbage import Collected, collect_garbage
from nanodex.artifacts.location import open_store
from nanodex.artifacts.probe import require_conditional_writes
from nanodex.artifacts.store import ObjectInfo, ObjectMissing, ObjectStore
from nanodex.artifacts.transfer import discard, fetch, verify

__all__ = [
    "GRACE",
    "Collected",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectStore",
    "Published",
    "collect_garbage",
    "discard",
    "fetch",
    "find",
    "list_manifests",
    "open_store",
    "publish",
    "remove",
    "require_conditional_writes",
    "verify",
]
