"""Keyed work queue: one reconcile per object at a time, wake-ups coalesced, failures backed off.

`Schedule` decides and is pure: it is told the time. `WorkQueue` waits and calls.
"""

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

BASE_SECONDS = 1.0
LIMIT_SECONDS = 300.0
# A worker looks at the clock at least this often, so that a queue that stands still shows.
TICK_SECONDS = 5.0

Key = TypeVar("Key", bound=Hashable)


class Schedule(Generic[Key]):
    """Which key is due when.

    A key is waiting, running or neither. A wake-up while it runs makes it run once more afterwards,
    however many there were. After a failure it waits 1 s to 5 min, twice as long each time and
    half of it by chance; a wake-up cuts that short, but to no less than `base_seconds`: work that
    wakes itself and fails must not spin.

    Args:
        chance: a number in [0, 1), for instance `random.random`.
        base_seconds: shortest wait after a failure.
        limit_seconds: longest wait after a failure.
    """

    def __init__(
        self,
        *,
        chance: Callable[[], float] = random.random,
        base_seconds: float = BASE_SECONDS,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._chance = chance
        self._base = base_seconds
        self._limit = limit_seconds
        self._due: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        # Entries whose time is not the one in _due any more are skipped when they come up.
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()

    def wake(self, key: Key, *, at: float) -> None:
        """Let `key` run at `at`, or earlier if it is due earlier."""
        if key in self._running:
            self._due[key] = min(at, self._due.get(key, at))
            return
        at = max(at, self._not_before.get(key, at))
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            heapq.heappush(self._heap, (at, next(self._order), key))

    def take(self, now: float) -> Key | None:
        """Return the key that is due longest, which runs from now on; None when none is due."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if key not in self._running and self._due.get(key) == at:
                del self._due[key]
                self._running.add(key)
                return key
        return None

    def succeeded(self, key: Key, *, now: float, again_after: float | None = None) -> None:
        """Note that `key` ran well; let it run again after some seconds, or only when it wakes."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
        self._finish(key, None if again_after is None else now + again_after)

    def failed(self, key: Key, *, now: float) -> None:
        """Note that `key` failed; it runs again after its back-off."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        # 2 ** 64 seconds are beyond any limit; more would not fit into a float.
        wait = min(self._limit, self._base * 2.0 ** min(count, 64)) * (1 - self._chance() / 2)
        self._not_before[key] = now + self._base
        self._finish(key, now + max(wait, self._base))

    def next_at(self) -> float | None:
        """Return when the next key is due; None when none waits."""
        while self._heap:
            at, _, key = self._heap[0]
            if key not in self._running and self._due.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def depth(self, now: float) -> int:
        """Return how many keys are due and wait for a worker; safe from any thread."""
        return sum(at <= now for at in self._waiting())

    def oldest_age(self, now: float) -> float:
        """Return the seconds that the first key waits for a worker; safe from any thread."""
        return max(0.0, now - min(self._waiting(), default=now))

    def _waiting(self) -> list[float]:
        # list() copies at once, whatever the loop's thread does meanwhile.
        return [at for key, at in list(self._due.items()) if key not in self._running]

    def _finish(self, key: Key, again_at: float | None) -> None:
        self._running.discard(key)
        woken_at = self._due.pop(key, None)
        for at in (woken_at, again_at):
            if at is not None:
                self.wake(key, at=at)


class WorkQueue(Generic[Key]):
    """Calls `work` for keys that are due.

    Args:
        work: handles one key; returns after how many seconds to handle it again, None for only
            when it wakes. An exception means back-off; the work itself has said why.
        concurrency: keys at once.
        schedule: which key is due when.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        work: Callable[[Key], Awaitable[float | None]],
        *,
        concurrency: int,
        schedule: Schedule[Key] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._concurrency = concurrency
        self._schedule = schedule if schedule is not None else Schedule()
        self._clock = clock
        self._ticked = clock()
        self._begun = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def wake(self, key: Key, *, after: float = 0.0) -> None:
        """Let `key` be handled in `after` seconds at the latest."""
        self._schedule.wake(key, at=self._clock() + after)
        self._notify()

    def start(self) -> None:
        """Start the workers in the running loop; they wait for `begin`."""
        self._workers = [
            asyncio.create_task(self._serve(), name=f"reconciler {number}")
            for number in range(self._concurrency)
        ]

    def begin(self) -> None:
        """Let the workers take keys; once is enough."""
        if not self._begun:
            self._begun = True
            self._notify()

    async def stop(self, *, grace_seconds: float) -> None:
        """Begin nothing more; wait for what runs, and cancel what is left after the grace."""
        self._stopping = True
        self._notify()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=grace_seconds)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)

    @property
    def stopping(self) -> bool:
        """Whether nothing more is begun."""
        return self._stopping

    def depth(self) -> int:
        """Return how many keys wait for a worker; safe from any thread."""
        return self._schedule.depth(self._clock())

    def oldest_age(self) -> float:
        """Return the seconds that the first key waits for a worker; safe from any thread."""
        return self._schedule.oldest_age(self._clock())

    def silence(self) -> float:
        """Return the seconds since a worker last looked for work; safe from any thread."""
        return self._clock() - self._ticked

    async def _serve(self) -> None:
        while not self._stopping:
            # Before looking: a wake-up between the look and the wait must end the wait.
            changed = self._changed
            self._ticked = now = self._clock()
            key = self._schedule.take(now) if self._begun else None
            if key is None:
                await self._wait(changed, now=now)
            else:
                await self._handle(key)

    async def _handle(self, key: Key) -> None:
        try:
            again_after = await self._work(key)
        except Exception:
            self._schedule.failed(key, now=self._clock())
        else:
            self._schedule.succeeded(key, now=self._clock(), again_after=again_after)
        self._notify()

    async def _wait(self, changed: asyncio.Event, *, now: float) -> None:
        at = self._schedule.next_at() if self._begun else None
        seconds = TICK_SECONDS if at is None else min(TICK_SECONDS, max(0.0, at - now))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
