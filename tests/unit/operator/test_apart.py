"""What runs apart goes on while the loop is busy, and ends with the one that waits for it."""

import asyncio
import threading
import time

import pytest
from nanodex_operator.apart import run_apart


async def test_it_goes_on_while_the_loop_is_busy() -> None:
    turns, begun = 0, threading.Event()

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            begun.set()
            await asyncio.sleep(0.001)

    waiting = asyncio.create_task(run_apart(work, name="work"))
    await asyncio.to_thread(begun.wait)
    before, deadline = turns, time.monotonic() + 10
    while turns < before + 3 and time.monotonic() < deadline:
        time.sleep(0.001)  # noqa: ASYNC251  the loop is busy
    assert turns >= before + 3
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert "work" not in {thread.name for thread in threading.enumerate()}


async def test_its_error_is_raised_here() -> None:
    async def work() -> None:
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        await run_apart(work, name="work")


async def test_its_end_is_the_end() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    await run_apart(work, name="work")


async def test_when_it_is_cancelled_it_may_put_things_in_order() -> None:
    begun, closed = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            closed.set()

    waiting = asyncio.create_task(run_apart(work, name="work"))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert closed.is_set()
