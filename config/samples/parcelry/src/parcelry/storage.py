"""Ledgers that keep waybills."""

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path

from parcelry.errors import DuplicateWaybill, LedgerCorrupted

LEDGER_FILE_NAME = "waybills.jsonl"


class Ledger(ABC):
    """A place where waybills are kept once and for all."""

    @abstractmethod
    def persist(self, waybill: str, carrier_code: str) -> None:
        """Write a waybill and the carrier that has it."""

    @abstractmethod
    def recall(self, waybill: str) -> str | None:
        """Return the carrier of a waybill, if the ledger has it."""


class VolatileLedger(Ledger):
    """Keeps waybills in memory."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def persist(self, waybill: str, carrier_code: str) -> None:
        """Remember a waybill until the process ends."""
        if waybill in self.entries:
            raise DuplicateWaybill("waybill was persisted before")
        self.entries[waybill] = carrier_code

    def recall(self, waybill: str) -> str | None:
        """Return the carrier from memory."""
        return self.entries.get(waybill)


class JsonlLedger(Ledger):
    """Keeps waybills in a file, one JSON line each."""

    def __init__(self, folder: Path):
        self.path = folder / LEDGER_FILE_NAME

    def persist(self, waybill: str, carrier_code: str) -> None:
        """Append a waybill to the file."""
        if self.recall(waybill) is not None:
            raise DuplicateWaybill("waybill is already in the file")
        with self.path.open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps({"waybill": waybill, "carrier": carrier_code}) + "\n")

    def recall(self, waybill: str) -> str | None:
        """Search the file for the carrier of a waybill."""
        if not self.path.exists():
            return None
        for line in self.path.read_text(encoding="utf-8").splitlines():
            entry = parse_ledger_line(line)
            if entry["waybill"] == waybill:
                return entry["carrier"]
        return None


def parse_ledger_line(line: str) -> dict[str, str]:
    """Decode one line of the ledger."""
    try:
        entry: dict[str, str] = json.loads(line)
    except ValueError:
        raise LedgerCorrupted("ledger line is not JSON") from None
    return entry


def open_ledger() -> Ledger:
    """Open the ledger in the folder that the environment names."""
    folder = os.environ.get("PARCELRY_LEDGER_DIR")
    if folder is None:
        return VolatileLedger()
    return JsonlLedger(Path(folder))
