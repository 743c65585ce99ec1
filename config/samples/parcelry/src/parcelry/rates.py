"""Prices by weight and zone, in euro cents."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from parcelry.errors import OverweightParcel
from parcelry.zones import Zone

FUEL_LEVY_PERCENT = 7
ISLAND_FERRY_CENTS = 475
BELT_LIMIT_GRAMS = 31500
NICKEL_CENTS = 5
BASE_FEE_CENTS = 289


@dataclass(frozen=True)
class RateCard:
    """Weight brackets and the fee of each zone step."""

    step_fee_cents: int = 65
    brackets: dict[int, int] = field(default_factory=lambda: {1000: 120, 5000: 310, 31500: 890})

    def bracket_fee(self, grams: int) -> int:
        """Return the fee of the lightest bracket that holds the weight."""
        for ceiling in sorted(self.brackets):
            if grams <= ceiling:
                return self.brackets[ceiling]
        raise OverweightParcel("no bracket holds this weight")


def load_rate_card() -> RateCard:
    """Read the rate card from the file that the environment names."""
    location = os.environ.get("PARCELRY_RATE_FILE")
    if location is None:
        return RateCard()
    content = json.loads(Path(location).read_text(encoding="utf-8"))
    brackets = {int(ceiling): fee for ceiling, fee in content["brackets"].items()}
    return RateCard(step_fee_cents=content["step_fee_cents"], brackets=brackets)


def fuel_levy(cents: int) -> int:
    """Compute the fuel levy on a price."""
    return cents * FUEL_LEVY_PERCENT // 100


def round_to_nickel(cents: int) -> int:
    """Round a price up to the next five cents."""
    return -(-cents // NICKEL_CENTS) * NICKEL_CENTS


def price_parcel(card: RateCard, zone: Zone, grams: int) -> int:
    """Price a parcel from its weight, its zone, the ferry and the fuel levy."""
    if grams > BELT_LIMIT_GRAMS:
        raise OverweightParcel("parcel exceeds the belt limit")
    cents = BASE_FEE_CENTS + card.bracket_fee(grams) + zone.step * card.step_fee_cents
    if zone.island:
        cents += ISLAND_FERRY_CENTS
    return round_to_nickel(cents + fuel_levy(cents))
