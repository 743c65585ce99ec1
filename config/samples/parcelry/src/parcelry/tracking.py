"""Waybills and the scans that a parcel collects on its way."""

from dataclasses import dataclass, field
from enum import Enum

from parcelry.carriers import find_carrier
from parcelry.errors import ScanOutOfOrder
from parcelry.storage import Ledger
from parcelry.zones import Zone

WAYBILL_PREFIX = "PQ"
CHECK_MODULUS = 9
MAX_SCANS_KEPT = 40


class ScanKind(Enum):
    """What a scanner saw."""

    COLLECTED = "collected"
    SORTED = "sorted"
    CUSTOMS_HOLD = "customs-hold"
    HANDED_OVER = "handed-over"


@dataclass(frozen=True)
class ScanEvent:
    """One scan of a parcel at a depot."""

    kind: ScanKind
    depot: str
    at: float


def check_digit(serial: int) -> int:
    """Compute the digit that guards a serial against typing errors."""
    return sum(int(digit) for digit in str(serial)) % CHECK_MODULUS


def mint_waybill(serial: int) -> str:
    """Make a waybill from a serial."""
    return f"{WAYBILL_PREFIX}-{serial}-{check_digit(serial)}"


def is_genuine_waybill(waybill: str) -> bool:
    """Tell whether a waybill carries the right check digit."""
    parts = waybill.split("-")
    return len(parts) == 3 and parts[1].isdigit() and mint_waybill(int(parts[1])) == waybill


@dataclass
class TrackingJournal:
    """All scans of one parcel, oldest first."""

    waybill: str
    scans: list[ScanEvent] = field(default_factory=list)

    def append_scan(self, event: ScanEvent) -> None:
        """Add a scan that is newer than the last one."""
        newest = self.newest_scan()
        if newest is not None and event.at < newest.at:
            raise ScanOutOfOrder("scan is older than the newest one")
        self.scans.append(event)
        del self.scans[:-MAX_SCANS_KEPT]

    def newest_scan(self) -> ScanEvent | None:
        """Return the last scan, if there is one."""
        return self.scans[-1] if self.scans else None

    def is_delivered(self) -> bool:
        """Tell whether the parcel was handed over."""
        newest = self.newest_scan()
        return newest is not None and newest.kind is ScanKind.HANDED_OVER


def dispatch_parcel(ledger: Ledger, carrier_code: str, serial: int) -> str:
    """Give a parcel to a carrier and write its waybill to the ledger."""
    carrier = find_carrier(carrier_code)
    waybill = mint_waybill(serial)
    ledger.persist(waybill, carrier.code)
    return waybill


def forecast_arrival(journal: TrackingJournal, carrier_code: str, zone: Zone) -> float | None:
    """Estimate the second at which a collected parcel arrives."""
    if not journal.scans:
        return None
    return journal.scans[0].at + find_carrier(carrier_code).transit_days(zone) * 86400
