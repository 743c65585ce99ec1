"""An Event about a transition: what `kubectl describe` shows."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nanodex_operator.kinds import EVENTS
from nanodex_operator.snapshot import Event

_COMPONENT = "nanodex-operator"


def build_event(
    event: Event, *, regarding: Mapping[str, Any], instance: str, now: datetime
) -> dict[str, Any]:
    """Return a core/v1 Event, which `kubectl describe` shows.

    The same words about the same version are one Event: a repeated request makes no second one.

    Args:
        event: what happened.
        regarding: the object, with uid and resourceVersion.
        instance: which operator process says so.
        now: time of day.
    """
    words = "\0".join((regarding["uid"], regarding["resourceVersion"], event.reason, event.message))
    stamp = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": EVENTS.group_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{regarding['name']}.{hashlib.sha256(words.encode()).hexdigest()[:16]}",
            "namespace": regarding["namespace"],
        },
        "involvedObject": dict(regarding),
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:1024],
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": instance,
    }
