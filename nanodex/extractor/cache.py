"""Keeps records between runs, by what they are a function of. May be lost at any time."""

import hashlib
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from nanodex.extractor.languages import pack_version
from nanodex.extractor.records import RECORD_FORMAT, PackedRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packed_records (
  key BLOB PRIMARY KEY, check_sum BLOB NOT NULL,
  definitions BLOB NOT NULL, bindings BLOB NOT NULL, uses BLOB NOT NULL
) WITHOUT ROWID
"""


def record_key(blob: str, *, language: str, dialect: str) -> bytes:
    """Return the key of a record: content, dialect, versions of grammar, query pack and format."""
    named = f"{blob} {dialect} {pack_version(language)} {RECORD_FORMAT}"
    return hashlib.sha256(named.encode()).digest()


class RecordCache:
    """Records in one SQLite file; a damaged file is thrown away, a damaged row is a miss."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "records.sqlite"
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError:
            path.unlink()
            self._database = _open(path)

    def get(self, key: bytes) -> PackedRecord | None:
        """Return the record under `key`, or None."""
        try:
            with self._lock:
                row = self._database.execute(
                    "SELECT check_sum, definitions, bindings, uses "
                    "FROM packed_records WHERE key = ?",
                    (key,),
                ).fetchone()
        except sqlite3.DatabaseError:
            return None
        if row is None or row[0] != _check_sum(key, row[1:]):
            return None
        return PackedRecord(*map(zlib.decompress, row[1:]))

    def put(self, key: bytes, record: PackedRecord) -> None:
        """Keep a record; a cache that cannot be written is not an error."""
        # Level 1: time matters more here than size.
        parts = [zlib.compress(part, 1) for part in record]
        try:
            with self._lock:
                self._database.execute(
                    "INSERT OR REPLACE INTO packed_records VALUES (?, ?, ?, ?, ?)",
                    (key, _check_sum(key, parts), *parts),
                )
        except sqlite3.DatabaseError:
            return

    def close(self) -> None:
        """Commit and close."""
        try:
            self._database.commit()
        except sqlite3.DatabaseError:
            pass
        finally:
            self._database.close()


def _check_sum(key: bytes, parts: Sequence[bytes]) -> bytes:
    digest = hashlib.sha256(key)
    for part in parts:
        digest.update(b"%d " % len(part) + part)
    return digest.digest()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_SCHEMA)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
