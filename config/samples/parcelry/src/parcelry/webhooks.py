"""Webhooks through which depots report scans."""

import hashlib
import hmac
import json
import os
from collections.abc import Callable

from parcelry.errors import ForgedSignature, ParcelryError
from parcelry.tracking import ScanEvent, ScanKind, TrackingJournal

SIGNATURE_HEADER = "X-Parcelry-Seal"
MAX_BODY_BYTES = 65536

Handler = Callable[[dict[str, str]], dict[str, str]]
JOURNALS: dict[str, TrackingJournal] = {}


class BodyTooLarge(ParcelryError):
    """The body of a webhook is larger than allowed."""

    http_status = 413


class HookRouter:
    """Finds the handler of a webhook by its path."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def post(self, path: str) -> Callable[[Handler], Handler]:
        """Register a handler for POST requests to a path."""

        def register_handler(handler: Handler) -> Handler:
            self.handlers[path] = handler
            return handler

        return register_handler

    def deliver(self, path: str, body: bytes, signature: str) -> dict[str, str]:
        """Check a webhook and pass it to its handler."""
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge("webhook body is too large")
        verify_seal(body, signature)
        return self.handlers[path](json.loads(body))


hooks = HookRouter()


def hook_secret() -> bytes:
    """Read the secret that depots share with parcelry."""
    return os.environ.get("PARCELRY_HOOK_SECRET", "unset").encode()


def seal_body(body: bytes) -> str:
    """Sign a body with the shared secret."""
    return hmac.new(hook_secret(), body, hashlib.sha256).hexdigest()


def verify_seal(body: bytes, signature: str) -> None:
    """Refuse a body whose signature does not match."""
    if not hmac.compare_digest(seal_body(body), signature):
        raise ForgedSignature("seal does not match the body")


def record_scan(content: dict[str, str], kind: ScanKind) -> TrackingJournal:
    """Put a reported scan into the journal of its waybill."""
    journal = JOURNALS.setdefault(content["waybill"], TrackingJournal(content["waybill"]))
    journal.append_scan(ScanEvent(kind=kind, depot=content["depot"], at=float(content["at"])))
    return journal


@hooks.post("/hooks/depot-scan")
def receive_depot_scan(content: dict[str, str]) -> dict[str, str]:
    """Record that a depot sorted a parcel."""
    return {"waybill": record_scan(content, ScanKind.SORTED).waybill}


@hooks.post("/hooks/customs-hold")
def receive_customs_hold(content: dict[str, str]) -> dict[str, str]:
    """Record that customs holds a parcel."""
    return {"held": record_scan(content, ScanKind.CUSTOMS_HOLD).waybill}


@hooks.post("/hooks/doorstep")
def receive_doorstep(content: dict[str, str]) -> dict[str, str]:
    """Record that a parcel was handed over at the door."""
    return {"delivered": str(record_scan(content, ScanKind.HANDED_OVER).is_delivered())}
