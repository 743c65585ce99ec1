"""What a watch shows wakes the CodeExperts that it matters to, and no others."""

from typing import Any, cast

import pytest
from nanodex_operator.apply import Target
from nanodex_operator.cluster import Cluster
from nanodex_operator.kinds import CODE_EXPERTS, JOBS
from nanodex_operator.resync import Resync
from nanodex_operator.watched import ExpertKey

from nanodex.api.status import AdapterStatus, CodeExpertStatus, ServingStatus
from tests.unit.operator.conftest import KEY, NAMESPACE, SPEC, Inside


@pytest.fixture
def woken(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> list[ExpertKey]:
    keys: list[ExpertKey] = []
    monkeypatch.setattr(inside.queue, "wake", lambda key, after=0.0: keys.append(key))
    return keys


def expert(name: str, *, version: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
    return {
        "metadata": metadata | {"resourceVersion": str(version), "generation": 1},
        "spec": SPEC,
        "status": status,
    }


def child(name: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"nanodex.dev/expert": "payments", "nanodex.dev/stage": "train"},
            "annotations": {"nanodex.dev/key": "a" * 64},
        },
        **fields,
    }


def server(version: int = 1, *, ready: int = 0, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "qwen", "uid": "uid-qwen", "resourceVersion": str(version)},
        "spec": {"baseModel": SPEC["baseModel"]} | spec,
        "status": {"readyReplicas": ready},
    }


def test_an_expert_is_woken_by_what_is_new_and_not_by_its_own_status_write(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.intake.see_expert(expert("payments", version=1))
    inside.watched.experts.put(expert("payments", version=2, phase="Ready"))
    inside.intake.see_expert(expert("payments", version=2, phase="Ready"))

    assert woken == [KEY]


def target(inside: Inside) -> Target:
    metadata = inside.expert()["metadata"]
    return Target(
        namespace=NAMESPACE, name="payments", uid=metadata["uid"],
        version=metadata["resourceVersion"],
    )  # fmt: skip


async def test_a_server_is_woken_by_our_own_write_of_what_it_is_to_serve(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(inside.servers, "wake", names.append)
    adapter = AdapterStatus(digest=f"sha256:{'4' * 64}", key="5" * 64)
    bound = CodeExpertStatus(serving=ServingStatus(server="qwen"))
    holds = bound.model_copy(update={"candidate": adapter})
    answers = bound.model_copy(update={"active": adapter})
    counted = answers.model_copy(
        update={"serving": ServingStatus(server="qwen", loaded="1/1"), "message": "it answers"}
    )
    moving = answers.model_copy(
        update={"serving": ServingStatus(server="qwen", next_server="llama")}
    )

    inside.create_expert()
    for before, after, woken in (
        (CodeExpertStatus(), bound, {"qwen"}),
        (bound, holds, {"qwen"}),
        (holds, answers, {"qwen"}),
        (answers, counted, set()),
        (counted, moving, {"qwen", "llama"}),
    ):
        await inside.applier.write_status(target(inside), after, before=before)
        assert set(names) == woken, after
        names.clear()


def test_a_job_wakes_its_expert_when_it_says_something_new_and_when_it_is_gone(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.intake.see_job(child("job", 1))
    inside.intake.see_job(child("job", 2, status={"ready": 1}))
    assert woken == [KEY]

    inside.intake.lose_job(child("job", 3))
    inside.intake.lose_job(child("job", 3))
    assert woken == [KEY, KEY]


def test_a_pod_wakes_its_expert(inside: Inside, woken: list[ExpertKey]) -> None:
    inside.intake.see_pod(child("pod", 1, status={"phase": "Pending"}))
    inside.intake.see_pod(child("pod", 2, status={"phase": "Running"}))
    inside.intake.lose_pod(child("pod", 3))

    assert woken == [KEY] * 3


def test_a_server_wakes_all_when_it_comes_and_only_its_own_when_its_state_changes(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.intake.see_expert(expert("bound", serving={"server": "qwen"}))
    inside.intake.see_expert(expert("moving", serving={"nextServer": "qwen"}))
    inside.intake.see_expert(expert("free"))
    woken.clear()

    inside.intake.see_server(server(1))
    assert {key.name for key in woken} == {"bound", "moving", "free"}
    woken.clear()

    inside.intake.see_server(server(2, ready=1))
    assert {key.name for key in woken} == {"bound", "moving"}
    woken.clear()

    inside.intake.see_server(server(3, ready=1, adapters={"capacity": 1}))
    assert {key.name for key in woken} == {"bound", "moving", "free"}
    woken.clear()

    inside.intake.lose_server(server(4))
    assert {key.name for key in woken} == {"bound", "moving", "free"}


def test_a_server_that_is_not_understood_is_not_used(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.intake.see_server(server(1, wings=2))

    assert inside.watched.servers.all() == []


def test_labels_of_a_namespace_wake_those_who_live_there(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.intake.see_expert(expert("payments"))
    woken.clear()

    def namespace(name: str, version: int, **labels: str) -> dict[str, Any]:
        metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
        return {"metadata": metadata}

    inside.intake.see_namespace(namespace("elsewhere", 1))
    assert woken == []
    inside.intake.see_namespace(namespace(NAMESPACE, 2))
    inside.intake.see_namespace(namespace(NAMESPACE, 3, team="a"))
    inside.intake.see_namespace(namespace(NAMESPACE, 4, team="a"))
    assert woken == [KEY, KEY]


async def test_what_was_deleted_while_a_watch_was_down_is_found_out(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.create_expert()
    inside.intake.see_expert(expert("lost"))
    owner = inside.expert()["metadata"]["uid"]
    job = child("job")
    job["metadata"]["ownerReferences"] = [{"controller": True, "uid": owner}]
    pod = child("pod")
    pod["metadata"]["ownerReferences"] = [{"controller": True, "uid": "uid-job"}]
    inside.intake.see_job(job)
    inside.intake.see_pod(pod)
    inside.intake.see_server(server())
    woken.clear()

    resync = Resync(
        inside.cluster,  # type: ignore[arg-type]
        watched=inside.watched,
        controller=inside.controller,
        queue=inside.queue,
        server_queue=inside.servers,
        namespaces=(),
        seconds=600,
    )
    await resync.compare()

    assert {key.name for key in woken} == {"payments", "lost"}
    assert [entry.name for entry in inside.watched.experts.all()] == ["payments"]
    for cache in (inside.watched.jobs, inside.watched.pods, inside.watched.servers):
        assert cache.uids() == frozenset()
    woken.clear()
    await resync.compare()
    assert woken == []


async def test_what_is_there_at_the_start_is_known_and_wakes_its_expert(
    inside: Inside, woken: list[ExpertKey]
) -> None:
    inside.cluster.put(CODE_EXPERTS, expert("payments"), namespace=NAMESPACE)
    inside.cluster.put(JOBS, child("job"), namespace=NAMESPACE)
    inside.cluster.put(CODE_EXPERTS, expert("elsewhere"), namespace="not-watched")

    await inside.intake.fill(cast(Cluster, inside.cluster), namespaces=[NAMESPACE])

    assert set(woken) == {KEY}
    assert inside.watched.experts.uids() == {"uid-payments"}
    assert inside.watched.jobs.uids() == {"uid-job"}
