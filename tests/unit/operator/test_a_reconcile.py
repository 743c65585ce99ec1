"""One reconcile after the other: what is written in which order, and what becomes of errors."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nanodex_operator.kinds import CODE_EXPERTS, JOBS, Resource
from nanodex_operator.refusals import Conflict, Refused, Unavailable

from nanodex.api.reasons import Reason
from nanodex.errors import TryAgain
from tests.unit.operator.conftest import KEY, NAMESPACE, Inside


async def resolve(inside: Inside) -> None:
    """Bring a CodeExpert to its first stage."""
    inside.create_expert()
    await inside.controller.reconcile(KEY)
    [job] = inside.jobs()
    inside.finish(job, commit="c" * 40, baseModelRevision="r1")
    for _ in range(2):
        await inside.controller.reconcile(KEY)


def store_requests(inside: Inside) -> list[str]:
    """Return the counters of questions to the store."""
    lines = inside.metrics.text().decode().splitlines()
    return [line for line in lines if line.startswith("nanodex_operator_store_requests_total")]


async def test_the_status_is_written_before_the_job_is_made_and_the_event_last(
    inside: Inside,
) -> None:
    inside.create_expert()

    await inside.controller.reconcile(KEY)

    kinds = [(verb, plural) for verb, plural, _ in inside.cluster.writes]
    assert kinds[:2] == [("update", "codeexperts"), ("create", "jobs")]
    assert {plural for _, plural in kinds[2:]} <= {"events"}


async def test_a_second_reconcile_sees_what_the_first_one_wrote(inside: Inside) -> None:
    inside.create_expert()
    await inside.controller.reconcile(KEY)
    before = list(inside.cluster.calls)

    await inside.controller.reconcile(KEY)

    assert inside.cluster.calls == before


async def test_steady_state_asks_neither_the_api_server_nor_the_store(
    inside: Inside, tmp_path: Path
) -> None:
    await resolve(inside)
    for _ in range(5):
        [job] = [job for job in inside.jobs() if "status" not in job]
        inside.publish(tmp_path / "work", job, score=0.7, passed=True)
        inside.finish(job)
        await inside.controller.reconcile(KEY)
    assert inside.status()["phase"] == "Ready"
    calls, asked = list(inside.cluster.calls), store_requests(inside)

    assert await inside.controller.reconcile(KEY) is None

    assert inside.cluster.calls == calls
    assert store_requests(inside) == asked


async def test_a_write_that_conflicts_stops_everything_after_it(inside: Inside) -> None:
    stored = inside.create_expert()
    inside.cluster.put(CODE_EXPERTS, stored, namespace=NAMESPACE)

    with pytest.raises(Conflict):
        await inside.controller.reconcile(KEY)

    assert inside.jobs() == []
    assert 'reconciles_total{result="conflict"} 1.0' in inside.metrics.text().decode()


async def test_a_job_is_not_made_of_a_stale_spec_even_where_the_status_stays_the_same(
    inside: Inside,
) -> None:
    inside.create_expert()
    await inside.controller.reconcile(KEY)
    [job] = inside.jobs()
    inside.cluster.objects.clear()
    inside.cluster.put(
        CODE_EXPERTS, {"metadata": {"name": "payments"}, "spec": {}}, namespace=NAMESPACE
    )
    inside.intake.lose_job(job)

    with pytest.raises(Conflict):
        await inside.controller.reconcile(KEY)

    assert inside.jobs() == []


async def test_a_job_that_is_there_already_is_taken_in(inside: Inside) -> None:
    inside.create_expert()

    def lose_the_answer(verb: str, resource: Resource, name: str) -> None:
        if (verb, resource) == ("create", JOBS):
            inside.cluster.before_write = lambda verb, resource, name: None
            made.append(name)
            manifest = {
                "metadata": {
                    "name": name,
                    "labels": {"nanodex.dev/stage": "resolve"},
                    "annotations": {"nanodex.dev/key": inside.stage("resolve")["key"]},
                    "ownerReferences": [
                        {"controller": True, "uid": inside.expert()["metadata"]["uid"]}
                    ],
                }
            }
            inside.cluster.put(JOBS, manifest, namespace=NAMESPACE)

    made: list[str] = []
    inside.cluster.before_write = lose_the_answer
    await inside.controller.reconcile(KEY)
    calls = list(inside.cluster.calls)
    await inside.controller.reconcile(KEY)

    assert len(inside.jobs()) == 1
    assert inside.cluster.calls == calls


async def test_a_job_of_somebody_else_under_our_name_is_reported(inside: Inside) -> None:
    inside.create_expert()

    def take_the_name(verb: str, resource: Resource, name: str) -> None:
        if (verb, resource) == ("create", JOBS):
            inside.cluster.objects.setdefault(
                ("jobs", NAMESPACE, name),
                {"metadata": {"name": name, "uid": "theirs", "resourceVersion": "1"}},
            )

    inside.cluster.before_write = take_the_name
    assert await inside.controller.reconcile(KEY) == 0.0
    await inside.controller.reconcile(KEY)

    failure = inside.stage("resolve")["failure"]
    assert failure["reason"] == "JobRefused"
    assert "nanodex did not make" in failure["message"]


async def test_a_refused_job_is_reported_at_once_and_tried_again_in_time(inside: Inside) -> None:
    inside.create_expert()

    def refuse(verb: str, resource: Resource, name: str) -> None:
        if resource is JOBS:
            raise Refused("403 Forbidden: exceeded quota: count/jobs.batch", code=403)

    inside.cluster.before_write = refuse
    assert await inside.controller.reconcile(KEY) == 0.0
    again_after = await inside.controller.reconcile(KEY)

    assert "exceeded quota" in inside.stage("resolve")["failure"]["message"]
    assert again_after is not None
    assert again_after >= 1.0

    inside.cluster.before_write = lambda verb, resource, name: None
    await inside.controller.reconcile(KEY)
    await inside.controller.reconcile(KEY)
    assert len(inside.jobs()) == 1
    assert "failure" not in inside.stage("resolve")


async def test_an_event_that_cannot_be_written_holds_nothing_up(inside: Inside) -> None:
    def no_events(verb: str, resource: Resource, name: str) -> None:
        if resource.plural == "events":
            raise Unavailable("too busy")

    inside.cluster.before_write = no_events
    await resolve(inside)

    assert inside.stage("extract")["state"] == "Queued"


async def test_a_spec_that_is_not_understood_is_said_and_harms_nothing(inside: Inside) -> None:
    inside.create_expert(status={"active": {"digest": "sha256:" + "a" * 64}}, wings=2)

    assert await inside.controller.reconcile(KEY) is None

    status = inside.status()
    [stalled] = [one for one in status["conditions"] if one["type"] == "Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert "spec.wings" in stalled["message"]
    assert status["phase"] == "Failed"
    assert status["active"]["digest"].startswith("sha256:")
    events = [thing for key, thing in inside.cluster.objects.items() if key[0] == "events"]
    assert [(event["type"], event["reason"]) for event in events] == [("Warning", "InvalidSpec")]

    writes = list(inside.cluster.writes)
    await inside.controller.reconcile(KEY)
    assert inside.cluster.writes == writes


async def test_a_store_that_is_away_is_said_and_tried_again(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    await resolve(inside)
    [job] = [job for job in inside.jobs() if "status" not in job]
    inside.finish(job)

    async def away(*place: Any) -> None:
        raise TryAgain("no answer", reason=Reason.STORE_UNAVAILABLE, hint="Start it.")

    with monkeypatch.context() as patched:
        patched.setattr(inside.lookup, "find", away)
        for _ in range(2):
            with pytest.raises(TryAgain):
                await inside.controller.reconcile(KEY)

    [stalled] = [one for one in inside.status()["conditions"] if one["type"] == "Stalled"]
    assert stalled["reason"] == "StoreUnavailable"
    assert stalled["message"] == "no answer. Start it."
    assert inside.status()["phase"] == "Waiting"

    await inside.controller.reconcile(KEY)
    types = {one["type"] for one in inside.status()["conditions"]}
    assert "Stalled" not in types


async def test_a_replica_that_lost_the_lease_writes_nothing(inside: Inside) -> None:
    inside.create_expert()
    inside.leading.append(False)

    assert await inside.controller.reconcile(KEY) is None

    assert inside.cluster.writes == []


async def test_a_reconcile_that_hangs_is_given_up(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.create_expert()

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("nanodex_operator.attempt.RECONCILE_SECONDS", 0.01)
    monkeypatch.setattr(inside.applier, "apply", hang)

    with pytest.raises(TimeoutError):
        await inside.controller.reconcile(KEY)


async def test_a_key_of_nothing_is_done(inside: Inside) -> None:
    assert await inside.controller.reconcile(KEY) is None
    assert inside.cluster.calls == []
