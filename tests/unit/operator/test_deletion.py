"""With deletionPolicy Delete the artifacts go with the last CodeExpert that needs them."""

import pytest
from nanodex_operator.kinds import CODE_EXPERTS

from nanodex.api.stages import StageName
from nanodex.artifacts import find, publish
from tests.unit.operator.conftest import KEY, NAMESPACE, SPEC, Inside

EXTRACT, TRAIN, OLD = "a" * 64, "b" * 64, "c" * 64
STATUS = {
    "stages": [
        {"name": "resolve", "key": "d" * 64, "state": "Succeeded"},
        {"name": "extract", "key": EXTRACT, "state": "Succeeded"},
        {"name": "train", "key": TRAIN, "state": "Succeeded"},
        {"name": "evaluate", "state": "Waiting"},
    ],
    "history": [{"digest": f"sha256:{OLD}", "key": OLD}],
}
DELETE = {"secretRef": {"name": "nanodex-s3"}, "deletionPolicy": "Delete"}


@pytest.fixture
def published(inside: Inside) -> None:
    for stage, key in (
        (StageName.EXTRACT, EXTRACT),
        (StageName.TRAIN, TRAIN),
        (StageName.TRAIN, OLD),
    ):
        folder = inside.folder / key
        folder.mkdir()
        (folder / "graph.sqlite").write_text(key)
        publish(folder, store=inside.store, stage=stage, key=key, scope=NAMESPACE)


def left(inside: Inside) -> list[str]:
    places = ((StageName.EXTRACT, EXTRACT), (StageName.TRAIN, TRAIN), (StageName.TRAIN, OLD))
    return [
        key
        for stage, key in places
        if find(inside.store, scope=NAMESPACE, stage=stage, key=key) is not None
    ]


def delete(inside: Inside) -> None:
    thing = inside.cluster.objects.pop(("codeexperts", NAMESPACE, "payments"))
    inside.intake.lose_expert(thing)


async def test_what_it_made_goes_with_it(inside: Inside, published: None) -> None:
    inside.create_expert(status=STATUS, artifacts=DELETE)

    delete(inside)
    await inside.controller.reconcile(KEY)

    assert left(inside) == []


async def test_artifacts_stay_by_default(inside: Inside, published: None) -> None:
    inside.create_expert(status=STATUS)

    delete(inside)
    await inside.controller.reconcile(KEY)

    assert left(inside) == [EXTRACT, TRAIN, OLD]


async def test_what_another_expert_refers_to_stays(inside: Inside, published: None) -> None:
    inside.create_expert(status=STATUS, artifacts=DELETE)
    other = {
        "metadata": {"name": "other"},
        "spec": SPEC,
        "status": {"stages": STATUS["stages"][:2], "active": STATUS["history"][0]},
    }
    inside.intake.see_expert(inside.cluster.put(CODE_EXPERTS, other, namespace=NAMESPACE))

    delete(inside)
    await inside.controller.reconcile(KEY)

    assert left(inside) == [EXTRACT, OLD]


async def test_an_expert_that_was_made_anew_keeps_what_the_old_one_made(
    inside: Inside, published: None
) -> None:
    inside.create_expert(status=STATUS, artifacts=DELETE)
    delete(inside)
    inside.create_expert()

    await inside.controller.reconcile(KEY)

    assert left(inside) == [EXTRACT, TRAIN, OLD]


async def test_a_spec_that_is_not_understood_deletes_nothing(
    inside: Inside, published: None
) -> None:
    inside.create_expert(status=STATUS, artifacts=DELETE, wings=2)

    delete(inside)
    await inside.controller.reconcile(KEY)

    assert left(inside) == [EXTRACT, TRAIN, OLD]
