"""Parcelry quotes, dispatches and traces parcels for four small carriers."""

from parcelry.carriers import Carrier, find_carrier
from parcelry.quotes import Parcel, Quote, QuoteDesk
from parcelry.tracking import TrackingJournal, mint_waybill

__all__ = [
    "Carrier",
    "Parcel",
    "Quote",
    "QuoteDesk",
    "TrackingJournal",
    "find_carrier",
    "mint_waybill",
]
