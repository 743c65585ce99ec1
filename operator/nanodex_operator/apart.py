"""Runs what must not wait for its turn: a coroutine in a thread with an event loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from threading import Thread
from typing import Any


async def run_apart(work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
    """Await `work()` in another thread; when this is cancelled, so is that.

    Nothing that belongs to this loop may be used in there.

    Args:
        work: makes the coroutine.
        name: of the thread.

    Raises:
        Exception: whatever `work` raises.
    """
    ours, theirs = asyncio.get_running_loop(), asyncio.new_event_loop()
    done: asyncio.Future[None] = ours.create_future()
    doing = theirs.create_task(work(), name=name)

    def settle(error: BaseException | None) -> None:
        if error is None:
            done.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            done.cancel()
        else:
            done.set_exception(error)

    def run() -> None:
        outcome = None
        try:
            theirs.run_until_complete(doing)
        except BaseException as error:
            outcome = error
        ours.call_soon_threadsafe(settle, outcome)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        theirs.call_soon_threadsafe(doing.cancel)
        await asyncio.wait({done})
        raise
    finally:
        thread.join()
        theirs.close()
