"""The command line of parcelry."""

import argparse
import os
import sys
from collections.abc import Sequence

from parcelry.errors import ParcelryError
from parcelry.quotes import Parcel, QuoteDesk
from parcelry.storage import open_ledger
from parcelry.tracking import dispatch_parcel, is_genuine_waybill
from parcelry.zones import home_depot

EXIT_REFUSED = 64


def parse_size(text: str) -> tuple[int, int, int]:
    """Split a size such as 30x20x10 into three sides."""
    length, width, height = (int(side) for side in text.split("x"))
    return length, width, height


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(prog="parcelry")
    commands = parser.add_subparsers(dest="command", required=True)
    appraise = commands.add_parser("appraise", help="quote a parcel")
    appraise.add_argument("--origin", default=home_depot())
    appraise.add_argument("--destination", required=True)
    appraise.add_argument("--grams", type=int, required=True)
    appraise.add_argument("--size", type=parse_size, required=True)
    appraise.set_defaults(action=print_quote)
    dispatch = commands.add_parser("dispatch", help="hand a parcel to a carrier")
    dispatch.add_argument("--carrier", required=True)
    dispatch.add_argument("--serial", type=int, required=True)
    dispatch.set_defaults(action=print_waybill)
    trace = commands.add_parser("trace", help="look a waybill up")
    trace.add_argument("waybill")
    trace.set_defaults(action=print_trace)
    return parser


def print_quote(arguments: argparse.Namespace) -> None:
    """Print price, carrier and days of a quote."""
    parcel = Parcel(arguments.grams, *arguments.size)
    quote = QuoteDesk().appraise(parcel, arguments.origin, arguments.destination)
    print(f"{quote.carrier_code}: {quote.cents / 100:.2f} EUR, {quote.days} days")


def print_waybill(arguments: argparse.Namespace) -> None:
    """Print the waybill of a dispatched parcel."""
    print(dispatch_parcel(open_ledger(), arguments.carrier, arguments.serial))


def print_trace(arguments: argparse.Namespace) -> None:
    """Print whether a waybill is genuine and who has it."""
    carrier_code = open_ledger().recall(arguments.waybill) or "nobody"
    print(f"genuine: {is_genuine_waybill(arguments.waybill)}, carrier: {carrier_code}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and turn a refusal into an exit status."""
    parsed = build_parser().parse_args(arguments)
    try:
        parsed.action(parsed)
    except ParcelryError as refusal:
        if os.environ.get("PARCELRY_VERBOSE"):
            print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
