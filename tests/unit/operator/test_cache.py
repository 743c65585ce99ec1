"""The caches show what the watches and our own writes have shown, and nothing that is gone."""

from collections.abc import Hashable, Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.cache import Cache
from nanodex_operator.readings import Object


def thing(uid: str, version: int, *, name: str = "", value: Any = 1, **fields: Any) -> Object:
    metadata = {"uid": uid, "resourceVersion": str(version), "name": name or uid}
    return {"metadata": metadata | fields, "value": value}


def tags(thing: Object) -> Iterable[Hashable]:
    return [thing["metadata"]["owner"]] if "owner" in thing["metadata"] else []


def make() -> Cache[Any]:
    return Cache(lambda seen: seen["value"], tag=tags)


def test_what_changes_nothing_for_a_reconcile_is_no_news() -> None:
    cache = make()

    assert cache.put(thing("a", 1, value="x"))
    assert not cache.put(thing("a", 2, value="x"))
    assert cache.put(thing("a", 3, value="y"))


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = make()
    cache.put(thing("a", 10, value="written by us"))

    assert not cache.put(thing("a", 9, value="late event"))
    assert cache.named("a").value == "written by us"  # type: ignore[union-attr]


def test_the_answer_to_our_own_write_does_not_revive_what_was_deleted() -> None:
    cache = make()
    cache.put(thing("a", 1))
    cache.drop("a")

    assert not cache.put(thing("a", 2))
    assert cache.named("a") is None


def test_an_object_that_is_made_anew_under_the_same_name_is_another_one() -> None:
    cache = make()
    cache.put(thing("old", 1, name="a"))
    cache.put(thing("new", 2, name="a"))
    cache.drop("old")

    assert cache.named("a").uid == "new"  # type: ignore[union-attr]


def test_objects_are_found_by_their_owner_oldest_first() -> None:
    cache = make()
    cache.put(thing("b", 1, owner="x", creationTimestamp="2026-01-02"))
    cache.put(thing("a", 2, owner="x", creationTimestamp="2026-01-03"))
    cache.put(thing("c", 3, owner="y", creationTimestamp="2026-01-01"))
    cache.put(thing("c", 4, owner="x", creationTimestamp="2026-01-01"))

    assert [entry.uid for entry in cache.tagged("x")] == ["c", "b", "a"]
    assert cache.tagged("y") == []


def test_what_is_none_of_ours_any_more_is_forgotten() -> None:
    cache = make()
    cache.put(thing("a", 1))

    assert cache.put(thing("a", 2, value=None))
    assert cache.all() == []


def test_a_listing_takes_away_what_it_lacks_and_nothing_that_came_later() -> None:
    cache = make()
    cache.put(thing("kept", 1))
    cache.put(thing("lost", 2))
    known = cache.uids()
    cache.put(thing("new", 3))

    lost = cache.keep_only({"kept"}, known=known)

    assert [entry.uid for entry in lost] == ["lost"]
    assert cache.uids() == {"kept", "new"}


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "drop"]),
        st.sampled_from("abc"),
        st.integers(1, 9),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["m", "n"]),
    ),
    max_size=30,
)


@given(operations=operations)
def test_every_way_to_an_object_leads_to_the_same_one(operations: list[Any]) -> None:
    cache = make()
    for what, uid, version, owner, name in operations:
        if what == "put":
            cache.put(thing(uid, version, name=name, owner=owner))
        else:
            cache.drop(uid)

    entries = {entry.uid: entry for entry in cache.all()}
    tagged = [entry for owner in "xy" for entry in cache.tagged(owner)]
    assert {entry.uid: entry for entry in tagged} == entries
    assert len(tagged) == len(entries)
    for name in "mn":
        found = cache.named(name)
        assert found is None or entries[found.uid] is found
