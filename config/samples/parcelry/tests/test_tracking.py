"""Waybills, scans, ledgers and webhooks."""

import json
import tempfile
import unittest
from pathlib import Path

from parcelry.errors import DuplicateWaybill, ForgedSignature, LedgerCorrupted, ScanOutOfOrder
from parcelry.storage import JsonlLedger, VolatileLedger, parse_ledger_line
from parcelry.tracking import ScanEvent, ScanKind, TrackingJournal, check_digit
from parcelry.tracking import dispatch_parcel, forecast_arrival, is_genuine_waybill, mint_waybill
from parcelry.webhooks import hooks, seal_body
from parcelry.zones import Zone


class WaybillTest(unittest.TestCase):
    """A waybill guards itself and is kept once."""

    def test_check_digit_guards_the_serial(self) -> None:
        self.assertEqual(check_digit(48213), 0)
        self.assertTrue(is_genuine_waybill(mint_waybill(48213)))
        self.assertFalse(is_genuine_waybill("PQ-48213-5"))

    def test_ledger_refuses_duplicates(self) -> None:
        ledger = VolatileLedger()
        dispatch_parcel(ledger, "heron", 77)
        with self.assertRaises(DuplicateWaybill):
            dispatch_parcel(ledger, "nimbus", 77)

    def test_ledger_survives_reopening(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            dispatch_parcel(JsonlLedger(Path(folder)), "quillpost", 12)
            self.assertEqual(JsonlLedger(Path(folder)).recall("PQ-12-3"), "quillpost")

    def test_broken_line_is_reported(self) -> None:
        with self.assertRaises(LedgerCorrupted):
            parse_ledger_line("{")


class JournalTest(unittest.TestCase):
    """Scans arrive in order, signed."""

    def test_older_scan_is_refused(self) -> None:
        journal = TrackingJournal("PQ-12-3")
        journal.append_scan(ScanEvent(ScanKind.COLLECTED, "10115", 50.0))
        with self.assertRaises(ScanOutOfOrder):
            journal.append_scan(ScanEvent(ScanKind.SORTED, "10115", 49.0))

    def test_arrival_counts_from_collection(self) -> None:
        journal = TrackingJournal("PQ-12-3", [ScanEvent(ScanKind.COLLECTED, "10115", 100.0)])
        self.assertEqual(forecast_arrival(journal, "heron", Zone("B", 1)), 86500.0)

    def test_doorstep_hook_delivers(self) -> None:
        body = json.dumps({"waybill": "PQ-12-3", "depot": "80331", "at": "7"}).encode()
        answer = hooks.deliver("/hooks/doorstep", body, seal_body(body))
        self.assertEqual(answer, {"delivered": "True"})
        with self.assertRaises(ForgedSignature):
            hooks.deliver("/hooks/doorstep", body, "0" * 64)
