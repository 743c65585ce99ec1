"""Which adapter of an expert shall answer: what `promote`, `rollback` and `retry` change.

All three are fields of the spec that anybody can set with `kubectl edit`; here is decided to what.
"""

import re
from typing import Any

from nanodex.api.reasons import Reason
from nanodex.api.status import AdapterStatus
from nanodex.errors import UserError
from nanodex.kubectl.experts import Expert

_PREFIX = re.compile(r"(sha256:)?[0-9a-f]{4,64}")


def candidate_pin(expert: Expert) -> str:
    """Return the `serving.pin` that puts the candidate into service.

    Where promotion is automatic this is none: the pin that holds an earlier adapter is lifted.

    Raises:
        UserError: there is no candidate, or nothing holds it back.
    """
    candidate, pin = expert.status.candidate, _pin(expert)
    if candidate is None:
        raise UserError(
            f"{expert.model} has no adapter that waits for promotion",
            reason=Reason.PIN_NOT_FOUND,
            hint=f"kubectl nanodex status {expert.model} says how far the next one is",
        )
    wanted = "" if expert.spec.evaluation.promotion == "Automatic" else candidate.digest
    if wanted == pin:
        raise UserError(
            f"{_short(candidate)} is on its way already and answers when every replica holds it",
            reason=Reason.PIN_NOT_FOUND,
            hint=f"kubectl nanodex status {expert.model} says what it waits for",
        )
    return wanted


def earlier_pin(expert: Expert, *, to: str = "") -> str:
    """Return the `serving.pin` that brings an earlier adapter back.

    Args:
        expert: whose.
        to: first digits of a digest in the history; empty: the adapter that answered before.

    Raises:
        UserError: there is no such adapter, or more than one.
    """
    if to and _PREFIX.fullmatch(to) is None:
        raise UserError(
            f"{to!r:.80} is no digest",
            reason=Reason.PIN_NOT_FOUND,
            hint="give at least four hexadecimal digits of a digest in the history",
        )
    known = [
        one for one in expert.status.history if one.base_model in ("", expert.spec.base_model.uri)
    ]
    digits = to.removeprefix("sha256:")
    found = [one for one in known if one.digest.removeprefix("sha256:").startswith(digits)]
    if not found or (to and len(found) > 1):
        shown = ", ".join(_short(one) for one in known) or "none"
        raise UserError(
            f"{expert.model} has {len(found) or 'no'} earlier adapters {digits}".rstrip(),
            reason=Reason.PIN_NOT_FOUND,
            hint=f"earlier adapters on this base model: {shown}",
        )
    return found[0].digest


def pin_patch(pin: str) -> dict[str, Any]:
    """Return the change that pins a digest; empty: the newest that passed."""
    return {"spec": {"serving": {"pin": pin}}}


def retry_patch(nonce: str) -> dict[str, Any]:
    """Return the change that lets a stage that failed for good run again."""
    return {"spec": {"retryNonce": nonce}}


def _pin(expert: Expert) -> str:
    pin = expert.spec.serving.pin
    return f"sha256:{pin.removeprefix('sha256:')}" if pin else ""


def _short(adapter: AdapterStatus) -> str:
    return adapter.digest.removeprefix("sha256:")[:12]
