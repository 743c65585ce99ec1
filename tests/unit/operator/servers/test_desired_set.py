"""What the desired set is a function of, and when a name moves to another version."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nanodex_operator.servers import BoundExpert, choose, number
from nanodex_operator.snapshot import ReplicaReport

from nanodex.api.desired import DesiredSet
from nanodex.api.reasons import Reason
from nanodex.api.status import ModelServerStatus
from tests.unit.operator.servers.conftest import SERVER, adapter, bound, digest, replica


def chosen(*experts: BoundExpert, **fields: Any) -> DesiredSet:
    return the(*experts, **fields).desired


def the(*experts: BoundExpert, **fields: Any) -> Any:
    values: dict[str, Any] = {
        "server": SERVER,
        "capacity": 200,
        "published": None,
        "replicas": (),
        "ready_replicas": len(fields.get("replicas", ())),
    }
    return choose(experts, **(values | fields))


def names(desired: DesiredSet) -> list[tuple[str, int, bool]]:
    return [(one.name, int(one.digest[7:19], 16), one.active) for one in desired.experts]


def test_the_active_adapter_has_the_name_and_the_candidate_is_loaded_beside_it() -> None:
    desired = chosen(bound("b", active=3), bound("a", active=1, candidate=2))

    assert names(desired) == [("team/a", 1, True), ("team/a", 2, False), ("team/b", 3, True)]
    first = desired.experts[0]
    assert (first.scope, first.key, first.rank, first.commit) == (
        "team", adapter(1).key, 8, "c" * 40,
    )  # fmt: skip


def test_who_is_not_admitted_has_no_adapter_and_no_server_is_not_ours() -> None:
    elsewhere = bound("c", active=3)
    elsewhere.status.serving.__dict__["server"] = "another"

    assert chosen(bound("a", active=1, admitted=False), bound("b"), elsewhere).experts == ()


EXPERTS = st.lists(
    st.builds(
        bound,
        st.sampled_from("abcdefgh"),
        active=st.integers(0, 5),
        candidate=st.integers(0, 5),
        namespace=st.sampled_from(["team", "other"]),
        admitted=st.booleans(),
    ),
    unique_by=lambda one: one.expert.model_name,
    max_size=12,
)
REPLICAS = st.lists(
    st.builds(
        lambda pod, numbers: replica(f"pod-{pod}", *numbers),
        st.integers(0, 9),
        st.sets(st.integers(1, 5)),
    ),
    max_size=3,
    unique_by=lambda one: one.pod,
)


@settings(deadline=None, max_examples=60)
@given(EXPERTS, REPLICAS, st.randoms(use_true_random=False))
def test_neither_order_nor_moment_changes_a_byte(
    experts: list[BoundExpert], replicas: list[ReplicaReport], shuffled: random.Random
) -> None:
    first = chosen(*experts, replicas=replicas)
    shuffled.shuffle(experts)
    shuffled.shuffle(replicas)

    assert chosen(*experts, replicas=replicas).encode() == first.encode()
    again = chosen(*experts, replicas=replicas, published=number_(first))
    assert chosen(*experts, replicas=replicas, published=number_(again)).encode() == again.encode()


def number_(desired: DesiredSet) -> DesiredSet:
    return number(desired, published=None, status=ModelServerStatus())


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(EXPERTS, REPLICAS, st.integers(0, 2)), max_size=6))
def test_a_name_that_answers_moves_only_when_every_ready_replica_has_what_comes(
    moments: list[tuple[list[BoundExpert], list[ReplicaReport], int]],
) -> None:
    published: DesiredSet | None = None
    for experts, replicas, silent in moments:
        ready = len(replicas) + silent
        desired = chosen(*experts, published=published, replicas=replicas, ready_replicas=ready)
        before = (
            {one.name: one.digest for one in published.experts if one.active} if published else {}
        )
        for one in desired.experts:
            was = before.get(one.name)
            if not one.active or was in (None, one.digest):
                continue
            everywhere = len(replicas) >= ready and all(one.digest in r.loaded for r in replicas)
            nobody_answers = not any(was in r.loaded for r in replicas)
            assert everywhere or nobody_answers
        published = number_(desired)


def test_the_version_that_answers_stays_until_the_last_replica_has_the_new_one() -> None:
    published = chosen(bound("a", active=1))
    flipped = bound("a", active=2)

    early = chosen(flipped, published=published, replicas=[replica("x", 1, 2), replica("y", 1)])
    silent = chosen(flipped, published=published, replicas=[replica("x", 1, 2)], ready_replicas=2)
    done = chosen(flipped, published=early, replicas=[replica("x", 1, 2), replica("y", 1, 2)])

    assert names(early) == names(silent) == [("team/a", 1, True), ("team/a", 2, False)]
    assert names(done) == [("team/a", 2, True)]


def test_one_expert_more_than_fit_does_not_drive_out_one_that_is_served() -> None:
    published = chosen(bound("b", active=1), bound("c", active=2))

    result = the(
        bound("a", active=3), bound("b", active=1), bound("c", active=2),
        capacity=2, published=published,
    )  # fmt: skip

    assert [one.name for one in result.desired.experts] == ["team/b", "team/c"]
    assert result.left_out["team/a", digest(3)][0] is Reason.SERVER_AT_CAPACITY


def test_what_a_status_holds_cannot_spoil_the_set_for_the_others() -> None:
    no_key, twins = bound("a", active=1), bound("b", active=2, candidate=3)
    no_key.status.active.__dict__["key"] = ""  # type: ignore[union-attr]
    same_twelve = digest(2)[:19] + "f" * 52
    twins.status.candidate.__dict__["digest"] = same_twelve  # type: ignore[union-attr]

    result = the(no_key, twins, bound("c", active=4))

    assert names(result.desired) == [("team/b", 2, True), ("team/c", 4, True)]
    assert set(result.left_out) == {("team/a", digest(1)), ("team/b", same_twelve)}


def many(count: int) -> list[BoundExpert]:
    return [
        bound(
            f"{number:05d}-a-name-of-forty-characters-in-all"[:40],
            namespace="a-namespace-as-long-as-they-may-be-here"[:40],
            active=2 * number,
            candidate=2 * number + 1,
        )
        for number in range(1, count + 1)
    ]


def test_two_hundred_experts_with_a_candidate_each_fit_easily() -> None:
    desired = chosen(*many(200))

    size = len(desired.encode())
    print(f"\n200 experts, 400 versions: {size} bytes")
    assert len(desired.experts) == 400
    assert size < (1 << 20) / 6


def test_beyond_a_config_map_candidates_are_left_out_first_and_it_is_said() -> None:
    result = the(*many(2000), capacity=4096)

    kept = result.desired.experts
    assert len(number_(result.desired).encode()) < 1 << 20
    assert sum(one.active for one in kept) == 2000
    assert 0 < sum(not one.active for one in kept) < 2000
    assert len(kept) + len(result.left_out) == 4000
    assert {reason for reason, _ in result.left_out.values()} == {Reason.SERVER_AT_CAPACITY}


def test_the_number_rises_with_the_content_and_with_nothing_else() -> None:
    one, two = chosen(bound("a", active=1)), chosen(bound("a", active=2))
    status = ModelServerStatus()

    first = number(one, published=None, status=status)
    assert first.generation == 1
    assert number(one, published=first, status=status).generation == 1
    second = number(two, published=first, status=status)
    assert second.generation == 2
    assert number(one, published=second, status=status).generation == 3


@pytest.mark.parametrize("known", ["", "content"])
def test_a_config_map_that_was_lost_or_put_back_takes_no_number_twice(known: str) -> None:
    one, two = chosen(bound("a", active=1)), chosen(bound("a", active=2))
    status = ModelServerStatus(
        set_generation=9, set_hash=two.content_hash if known == "content" else ""
    )

    lost = number(two, published=None, status=status)
    restored = number(two, published=one.model_copy(update={"generation": 4}), status=status)

    assert lost.generation == (9 if known == "content" else 10)
    assert restored.generation == 10
