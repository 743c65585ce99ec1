"""The carriers that parcelry can hand a parcel to."""

from abc import ABC, abstractmethod

from parcelry.errors import NoWillingCarrier, UnknownCarrierCode
from parcelry.zones import Zone

NIMBUS_CEILING_GRAMS = 8000
HERON_CUTOFF_HOUR = 16
QUILLPOST_LETTER_GRAMS = 500
FERRY_SAILING_DAYS = 3


class Carrier(ABC):
    """A company that moves parcels from the depot to the door."""

    code = ""

    @abstractmethod
    def accepts(self, zone: Zone, grams: int) -> bool:
        """Tell whether the carrier takes such a parcel."""

    @abstractmethod
    def transit_days(self, zone: Zone) -> int:
        """Return how many working days the carrier needs."""

    def handling_cents(self) -> int:
        """Return what the carrier adds to every price."""
        return 0


class NimbusAir(Carrier):
    """Flies light parcels overnight."""

    code = "nimbus"

    def accepts(self, zone: Zone, grams: int) -> bool:
        """Take light parcels anywhere on the mainland."""
        return not zone.island and grams <= NIMBUS_CEILING_GRAMS

    def transit_days(self, zone: Zone) -> int:
        """Need one day for every zone."""
        return 1

    def handling_cents(self) -> int:
        """Add the airport fee."""
        return 640


class HeronRoad(Carrier):
    """Drives parcels by lorry."""

    code = "heron"

    def accepts(self, zone: Zone, grams: int) -> bool:
        """Take everything that a lorry can reach."""
        return not zone.island

    def transit_days(self, zone: Zone) -> int:
        """Need a day for every three zone steps."""
        return 1 + zone.step // 3


class FerrybusSea(Carrier):
    """Ships parcels to the islands."""

    code = "ferrybus"

    def accepts(self, zone: Zone, grams: int) -> bool:
        """Take parcels for an island only."""
        return zone.island

    def transit_days(self, zone: Zone) -> int:
        """Need the sailing time and the road to the harbour."""
        return FERRY_SAILING_DAYS + zone.step // 2


class QuillpostLetter(HeronRoad):
    """Carries letters on the lorries of Heron."""

    code = "quillpost"

    def accepts(self, zone: Zone, grams: int) -> bool:
        """Take letters of the mainland."""
        return super().accepts(zone, grams) and grams <= QUILLPOST_LETTER_GRAMS


CARRIER_REGISTRY = {
    carrier.code: carrier
    for carrier in (NimbusAir(), HeronRoad(), FerrybusSea(), QuillpostLetter())
}


def find_carrier(code: str) -> Carrier:
    """Look up a carrier by its code."""
    if code not in CARRIER_REGISTRY:
        raise UnknownCarrierCode("no carrier has this code")
    return CARRIER_REGISTRY[code]


def swiftest_carrier(zone: Zone, grams: int) -> Carrier:
    """Choose the carrier that accepts the parcel and needs the fewest days."""
    willing = [carrier for carrier in CARRIER_REGISTRY.values() if carrier.accepts(zone, grams)]
    if not willing:
        raise NoWillingCarrier("every carrier refused the parcel")
    return min(willing, key=lambda carrier: carrier.transit_days(zone))
