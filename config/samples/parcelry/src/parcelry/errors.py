"""Every failure that parcelry reports, in one hierarchy."""


class ParcelryError(Exception):
    """Base of all failures that parcelry reports."""

    http_status = 500


class AddressFault(ParcelryError):
    """An address cannot be served."""

    http_status = 422


class UnmappedPostcode(AddressFault):
    """The postcode lies outside every zone."""


class EmbargoedCountry(AddressFault):
    """The country is closed to parcels."""


class ShipmentFault(ParcelryError):
    """A parcel breaks a rule of the carrier."""

    http_status = 409


class OverweightParcel(ShipmentFault):
    """The parcel weighs more than the belt can carry."""


class FlattenedParcel(ShipmentFault):
    """One side of the parcel measures nothing."""


class CarrierFault(ParcelryError):
    """A carrier cannot take the parcel."""

    http_status = 503


class UnknownCarrierCode(CarrierFault):
    """No carrier is registered under the code."""


class NoWillingCarrier(CarrierFault):
    """Every registered carrier refused the parcel."""


class LedgerFault(ParcelryError):
    """The ledger cannot be read or written."""


class DuplicateWaybill(LedgerFault):
    """The waybill is already in the ledger."""


class LedgerCorrupted(LedgerFault):
    """A line of the ledger is not JSON."""


class QuoteExpired(ParcelryError):
    """The quote is older than its lifetime."""

    http_status = 410


class ScanOutOfOrder(ParcelryError):
    """A scan is older than the one before it."""


class ForgedSignature(ParcelryError):
    """The webhook was not signed with the shared secret."""

    http_status = 401
