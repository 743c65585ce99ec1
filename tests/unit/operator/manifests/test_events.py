"""Events name what they are about; the same words about the same version are one Event."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from nanodex_operator.manifests.events import build_event
from nanodex_operator.snapshot import Event

REGARDING = {
    "apiVersion": "nanodex.dev/v1alpha1",
    "kind": "CodeExpert",
    "name": "payments",
    "namespace": "team-a",
    "uid": "u1",
    "resourceVersion": "17",
}
FAILED = Event("Warning", "OOMKilled", "train: it needed more memory than its limit.")


def build(event: Event = FAILED, *, now: datetime | None = None, **changed: str) -> dict[str, Any]:
    return build_event(
        event,
        regarding=REGARDING | changed,
        instance="operator-0",
        now=now or datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_an_event_is_what_kubectl_describe_shows() -> None:
    assert build() == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": build()["metadata"]["name"], "namespace": "team-a"},
        "involvedObject": REGARDING,
        "type": "Warning",
        "reason": "OOMKilled",
        "message": "train: it needed more memory than its limit.",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "nanodex-operator"},
        "reportingComponent": "nanodex-operator",
        "reportingInstance": "operator-0",
    }


def test_a_repeated_request_has_the_same_name_and_another_transition_another_one() -> None:
    later = build(now=datetime(2026, 1, 2, tzinfo=UTC))

    names = [
        one["metadata"]["name"]
        for one in (build(), later, build(resourceVersion="18"), build(uid="u2"))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(len(name) <= 253 for name in names)


def test_a_time_is_written_in_utc() -> None:
    now = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert build(now=now)["firstTimestamp"] == "2026-01-01T00:00:00Z"


def test_a_long_message_is_cut_to_what_an_event_holds() -> None:
    assert len(build(Event("Warning", "A", "x" * 5000))["message"]) == 1024
