"""Maps postcodes to delivery zones."""

import os
from dataclasses import dataclass

from parcelry.errors import EmbargoedCountry, UnmappedPostcode

POSTCODE_DIGITS = 5
ISLAND_PREFIXES = ("259", "264", "265")
EMBARGOED_CODES = frozenset({"XQ", "ZU"})
DEFAULT_DEPOT = "10115"


@dataclass(frozen=True)
class Zone:
    """A delivery zone with its letter and its distance step."""

    letter: str
    step: int
    island: bool = False


def home_depot() -> str:
    """Return the postcode of the depot that parcels leave from."""
    return os.environ.get("PARCELRY_HOME_DEPOT", DEFAULT_DEPOT)


def normalise_postcode(postcode: str) -> str:
    """Strip spaces from a postcode and demand five digits."""
    compact = postcode.replace(" ", "")
    if len(compact) != POSTCODE_DIGITS or not compact.isdigit():
        raise UnmappedPostcode("postcode must have five digits")
    return compact


def is_island(postcode: str) -> bool:
    """Tell whether a ferry is needed to reach the postcode."""
    return normalise_postcode(postcode).startswith(ISLAND_PREFIXES)


def zone_step(origin: str, destination: str) -> int:
    """Count how many leading regions lie between two postcodes."""
    first = normalise_postcode(origin)
    second = normalise_postcode(destination)
    return abs(int(first[0]) - int(second[0]))


def forbid_embargoed(country: str) -> None:
    """Refuse a country that is closed to parcels."""
    if country.upper() in EMBARGOED_CODES:
        raise EmbargoedCountry("country is under embargo")


def resolve_zone(origin: str, destination: str) -> Zone:
    """Find the zone that a parcel crosses between two postcodes."""
    step = zone_step(origin, destination)
    letter = "ABCDEFGHIJ"[step]
    return Zone(letter=letter, step=step, island=is_island(destination))
