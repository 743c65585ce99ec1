"""What a quote costs and when it is refused."""

import unittest

from parcelry.carriers import find_carrier, swiftest_carrier
from parcelry.errors import EmbargoedCountry, FlattenedParcel, OverweightParcel, QuoteExpired
from parcelry.errors import UnknownCarrierCode, UnmappedPostcode
from parcelry.quotes import Parcel, QuoteDesk
from parcelry.rates import RateCard, fuel_levy, price_parcel, round_to_nickel
from parcelry.zones import Zone, normalise_postcode, resolve_zone

SHOEBOX = Parcel(grams=1200, length=30, width=20, height=10)


class QuoteTest(unittest.TestCase):
    """A desk quotes, and keeps its word for fifteen minutes."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.desk = QuoteDesk(card=RateCard(), clock=lambda: self.now)

    def test_light_parcel_flies(self) -> None:
        quote = self.desk.appraise(SHOEBOX, "10115", "80331")
        self.assertEqual((quote.carrier_code, quote.days, quote.cents), ("nimbus", 1, 1770))

    def test_island_needs_the_ferry(self) -> None:
        self.assertEqual(swiftest_carrier(resolve_zone("10115", "25938"), 900).code, "ferrybus")

    def test_quote_expires(self) -> None:
        quote = self.desk.appraise(SHOEBOX, "10115", "80331")
        self.assertEqual(self.desk.redeem(quote), quote.cents)
        self.now += 901
        with self.assertRaises(QuoteExpired):
            self.desk.redeem(quote)

    def test_embargo_is_refused(self) -> None:
        with self.assertRaises(EmbargoedCountry):
            self.desk.appraise(SHOEBOX, "10115", "80331", country="xq")

    def test_flat_parcel_is_refused(self) -> None:
        with self.assertRaises(FlattenedParcel):
            Parcel(grams=10, length=20, width=0, height=5).chargeable_grams()


class PriceTest(unittest.TestCase):
    """A price follows weight and zone."""

    def test_levy_and_rounding(self) -> None:
        self.assertEqual(fuel_levy(1000), 70)
        self.assertEqual(round_to_nickel(1001), 1005)

    def test_belt_limit(self) -> None:
        with self.assertRaises(OverweightParcel):
            price_parcel(RateCard(), Zone("A", 0), 31501)

    def test_short_postcode_is_refused(self) -> None:
        with self.assertRaises(UnmappedPostcode):
            normalise_postcode("1011")

    def test_unknown_carrier_is_refused(self) -> None:
        with self.assertRaises(UnknownCarrierCode):
            find_carrier("pigeon")
