"""The queue runs each object alone, loses no wake-up and never spins on what fails."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanodex_operator.queue import BASE_SECONDS, LIMIT_SECONDS, Schedule, WorkQueue


def schedule(chance: float = 0.0) -> Schedule[str]:
    return Schedule(chance=lambda: chance)


def test_a_key_is_taken_once_however_often_it_woke() -> None:
    keys = schedule()
    for _ in range(3):
        keys.wake("a", at=1.0)

    assert keys.take(1.0) == "a"
    assert keys.take(1.0) is None


def test_keys_are_taken_in_the_order_they_are_due() -> None:
    keys = schedule()
    keys.wake("late", at=3.0)
    keys.wake("soon", at=2.0)
    keys.wake("next", at=2.0)

    assert [keys.take(3.0) for _ in range(3)] == ["soon", "next", "late"]


def test_an_earlier_wake_up_replaces_a_later_one_and_not_the_reverse() -> None:
    keys = schedule()
    keys.wake("a", at=60.0)
    keys.wake("a", at=1.0)
    keys.wake("a", at=30.0)

    assert keys.next_at() == 1.0
    assert keys.take(1.0) == "a"
    assert keys.next_at() is None


def test_a_key_that_woke_while_it_ran_runs_once_more() -> None:
    keys = schedule()
    keys.wake("a", at=0.0)
    keys.take(0.0)
    keys.wake("a", at=1.0)
    keys.wake("a", at=1.0)

    assert keys.take(1.0) is None
    keys.succeeded("a", now=2.0)
    assert keys.take(2.0) == "a"
    keys.succeeded("a", now=2.0)
    assert keys.take(1e9) is None


def test_a_key_comes_back_when_it_asked_to() -> None:
    keys = schedule()
    keys.wake("a", at=0.0)
    keys.take(0.0)
    keys.succeeded("a", now=5.0, again_after=10.0)

    assert keys.take(14.9) is None
    assert keys.take(15.0) == "a"


def test_failures_double_the_wait_up_to_five_minutes_and_a_success_forgets_them() -> None:
    keys, now, waits = schedule(), 0.0, []
    keys.wake("a", at=now)
    for _ in range(12):
        assert keys.take(now) == "a"
        keys.failed("a", now=now)
        again = keys.next_at()
        assert again is not None
        waits.append(again - now)
        now = again

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    keys.take(now)
    keys.succeeded("a", now=now, again_after=0.0)
    keys.take(now)
    keys.failed("a", now=now)
    assert keys.next_at() == now + 2


def test_a_wake_up_cuts_the_back_off_short_but_work_that_wakes_itself_does_not_spin() -> None:
    keys = schedule()
    keys.wake("a", at=0.0)
    for _ in range(10):
        now = keys.next_at()
        assert now is not None
        keys.take(now)
        keys.wake("a", at=now)
        keys.failed("a", now=now)
        assert keys.next_at() == now + BASE_SECONDS


@given(count=st.integers(1, 2000), chance=st.floats(0, 1, exclude_max=True))
def test_a_back_off_is_between_one_second_and_five_minutes(count: int, chance: float) -> None:
    keys = schedule(chance)
    for _ in range(count):
        keys.wake("a", at=0.0)
        keys.take(LIMIT_SECONDS)
        keys.failed("a", now=0.0)

    again = keys.next_at()
    assert again is not None
    assert BASE_SECONDS <= again <= LIMIT_SECONDS


def test_depth_and_age_count_what_is_due_and_waits_for_a_worker() -> None:
    keys = schedule()
    for name, at in {"a": 1.0, "b": 2.0, "c": 90.0}.items():
        keys.wake(name, at=at)

    assert (keys.depth(4.0), keys.oldest_age(4.0)) == (2, 3.0)
    keys.take(4.0)
    assert (keys.depth(4.0), keys.oldest_age(4.0)) == (1, 2.0)
    keys.take(4.0)
    assert (keys.depth(4.0), keys.oldest_age(4.0)) == (0, 0.0)


events = st.lists(
    st.tuples(
        st.sampled_from(["wake", "wake later", "take", "succeed", "succeed, again", "fail"]),
        st.sampled_from("abc"),
        st.floats(0, 100),
    ),
    max_size=60,
)


@given(events=events)
def test_no_key_ever_runs_twice_at_once_and_every_wake_up_is_followed_by_a_run(
    events: list[tuple[str, str, float]],
) -> None:
    keys, now = schedule(0.5), 0.0
    running: set[str] = set()
    owed: set[str] = set()

    def take() -> None:
        key = keys.take(now)
        if key is not None:
            assert key not in running
            running.add(key)
            owed.discard(key)

    for what, key, seconds in events:
        now += seconds / 10
        if what.startswith("wake"):
            keys.wake(key, at=now + (seconds if what == "wake later" else 0))
            owed.add(key)
        elif what == "take":
            take()
        elif key in running:
            running.discard(key)
            if what == "fail":
                keys.failed(key, now=now)
                owed.add(key)
            else:
                again = seconds if what == "succeed, again" else None
                keys.succeeded(key, now=now, again_after=again)

    now += LIMIT_SECONDS
    for key in sorted(running):
        keys.succeeded(key, now=now)
    running.clear()
    while keys.next_at() is not None:
        take()
        for key in sorted(running):
            keys.succeeded(key, now=now)
        running.clear()
    assert owed == set()


Gate = Callable[[str], asyncio.Event]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is the test's, nobody signals it
            await asyncio.sleep(0.005)


async def test_different_objects_are_handled_at_once_up_to_the_concurrency() -> None:
    busy: set[str] = set()
    most, release = 0, asyncio.Event()

    async def work(key: str) -> None:
        nonlocal most
        busy.add(key)
        most = max(most, len(busy))
        await release.wait()
        busy.discard(key)

    queue = WorkQueue[str](work, concurrency=2)
    queue.start()
    queue.begin()
    for key in "abcd":
        queue.wake(key)
    await until(lambda: len(busy) == 2 and queue.depth() == 2)
    release.set()
    await until(lambda: not busy and queue.depth() == 0)
    await queue.stop(grace_seconds=1)

    assert most == 2


async def test_a_delayed_wake_up_needs_no_other_event() -> None:
    seen: list[str] = []

    async def work(key: str) -> float | None:
        seen.append(key)
        return 0.02 if len(seen) < 3 else None

    queue = WorkQueue[str](work, concurrency=1)
    queue.start()
    queue.begin()
    queue.wake("a", after=0.02)
    await until(lambda: len(seen) == 3)
    await queue.stop(grace_seconds=1)


async def test_nothing_is_handled_before_all_is_listed() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    queue = WorkQueue[str](work, concurrency=1)
    queue.start()
    queue.wake("a")
    await asyncio.sleep(0.02)
    assert seen == []
    queue.begin()
    await until(lambda: seen == ["a"])
    await queue.stop(grace_seconds=1)


async def test_a_failure_of_one_object_keeps_no_other_from_running() -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)
        if key == "bad":
            raise RuntimeError("no")

    queue = WorkQueue[str](work, concurrency=1)
    queue.start()
    queue.begin()
    queue.wake("bad")
    queue.wake("good")
    await until(lambda: seen == ["bad", "good"])
    await queue.stop(grace_seconds=1)


async def test_stopping_finishes_what_runs_and_begins_nothing_more() -> None:
    started, finished = asyncio.Event(), []

    async def work(key: str) -> None:
        started.set()
        await asyncio.sleep(0.05)
        finished.append(key)

    queue = WorkQueue[str](work, concurrency=1)
    queue.start()
    queue.begin()
    queue.wake("a")
    queue.wake("b")
    await started.wait()
    await queue.stop(grace_seconds=5)

    assert finished == ["a"]
    assert queue.stopping


async def test_stopping_cancels_what_does_not_finish_in_time() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    queue = WorkQueue[str](work, concurrency=1)
    queue.start()
    queue.begin()
    queue.wake("a")
    await started.wait()
    await queue.stop(grace_seconds=0.01)

    assert cancelled.is_set()


async def test_silence_grows_while_every_worker_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, started = 0.0, asyncio.Event()

    async def work(key: str) -> None:
        started.set()
        await asyncio.Event().wait()

    queue = WorkQueue[str](work, concurrency=1, clock=lambda: now)
    queue.start()
    queue.begin()
    queue.wake("a")
    await started.wait()
    now = 500.0

    assert queue.silence() == 500.0
    await queue.stop(grace_seconds=0)
