"""Quotes: what a parcel costs, and for how long that holds."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from parcelry.carriers import swiftest_carrier
from parcelry.errors import FlattenedParcel, QuoteExpired
from parcelry.rates import RateCard, load_rate_card, price_parcel
from parcelry.zones import forbid_embargoed, resolve_zone

VOLUMETRIC_DIVISOR = 5000
QUOTE_LIFETIME_SECONDS = 900
SEAL_LENGTH = 10


@dataclass(frozen=True)
class Parcel:
    """A parcel with its weight in grams and its sides in centimetres."""

    grams: int
    length: int
    width: int
    height: int

    def volumetric_grams(self) -> int:
        """Convert the volume into the weight that carriers charge for."""
        if min(self.length, self.width, self.height) <= 0:
            raise FlattenedParcel("every side must be positive")
        return self.length * self.width * self.height * 1000 // VOLUMETRIC_DIVISOR

    def chargeable_grams(self) -> int:
        """Return the greater of real and volumetric weight."""
        return max(self.grams, self.volumetric_grams())


@dataclass(frozen=True)
class Quote:
    """A price that holds until its lifetime has passed."""

    carrier_code: str
    cents: int
    days: int
    issued_at: float
    seal: str


def seal_quote(carrier_code: str, cents: int, issued_at: float) -> str:
    """Derive the short seal that makes a quote hard to change."""
    text = f"{carrier_code}|{cents}|{issued_at:.0f}"
    return hashlib.sha256(text.encode()).hexdigest()[:SEAL_LENGTH]


class QuoteDesk:
    """Makes quotes and takes them back while they hold."""

    def __init__(self, card: RateCard | None = None, clock: Callable[[], float] = time.time):
        self.card = card or load_rate_card()
        self.clock = clock

    def appraise(
        self, parcel: Parcel, origin: str, destination: str, country: str = "DE"
    ) -> Quote:
        """Quote the swiftest carrier's price for a parcel."""
        forbid_embargoed(country)
        zone = resolve_zone(origin, destination)
        grams = parcel.chargeable_grams()
        carrier = swiftest_carrier(zone, grams)
        cents = price_parcel(self.card, zone, grams) + carrier.handling_cents()
        issued_at = self.clock()
        return Quote(
            carrier_code=carrier.code,
            cents=cents,
            days=carrier.transit_days(zone),
            issued_at=issued_at,
            seal=seal_quote(carrier.code, cents, issued_at),
        )

    def redeem(self, quote: Quote) -> int:
        """Return the price of a quote that still holds."""
        if self.clock() - quote.issued_at > QUOTE_LIFETIME_SECONDS:
            raise QuoteExpired("quote is older than fifteen minutes")
        return quote.cents
