"""Runs one measurement in a process of its own, and sums up several.

A fresh process makes peak memory mean something and keeps caches of one run out of the next.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Measured:
    """One run: seconds of the work itself, without imports, and the peak of all its processes.

    `cpu_seconds` counts all its processes too, and means something on a busy machine as well.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    result: dict[str, Any]


Prepared = Callable[[], dict[str, Any]]


def measure(prepare: Callable[..., Prepared], *arguments: Any) -> Measured:
    """Run `prepare(*arguments)()` in a fresh process; only the second call is timed.

    `prepare` is a function of a module, so that the other process can import it; it imports what
    it needs and returns the work.

    Raises:
        RuntimeError: the process failed; its traceback was printed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, prepare, arguments))
    process.start()
    theirs.close()
    peak = 0
    try:
        while not ours.poll(SAMPLE_SECONDS):
            peak = max(peak, tree_memory(process.pid))
        seconds, cpu_seconds, result = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{prepare.__name__} failed, exit {process.exitcode}") from None
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()
    return Measured(seconds=seconds, cpu_seconds=cpu_seconds, peak_bytes=peak, result=result)


def repeat(times: int, prepare: Callable[..., Prepared], *arguments: Any) -> list[Measured]:
    """Measure `times` times."""
    return [measure(prepare, *arguments) for _ in range(times)]


def rate(amount: float, runs: Sequence[Measured]) -> dict[str, float]:
    """Amount per second: `best` of the runs and their `median`."""
    rates = [amount / run.seconds for run in runs]
    return {"best": round(max(rates), 2), "median": round(statistics.median(rates), 2)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """`min` and `median` of `values`."""
    return {"min": round(min(values), 4), "median": round(statistics.median(values), 4)}


def median_seconds(runs: Sequence[Measured]) -> float:
    """Median of the runs' seconds."""
    return statistics.median(run.seconds for run in runs)


def median_cpu_seconds(runs: Sequence[Measured]) -> float:
    """Median of the runs' processor seconds."""
    return round(statistics.median(run.cpu_seconds for run in runs), 3)


def peak_megabytes(runs: Sequence[Measured]) -> float:
    """Highest peak of the runs, in 10^6 bytes."""
    return round(max(run.peak_bytes for run in runs) / 1e6, 1)


def tree_memory(pid: int | None) -> int:
    """Bytes that a process and its descendants hold; memory they share is counted once."""
    try:
        root = psutil.Process(pid)
        descendants = root.children(recursive=True)
        if not descendants:
            return int(root.memory_info().rss)
    except psutil.Error:
        return 0
    return sum(_fair_share(process) for process in (root, *descendants))


def _fair_share(process: psutil.Process) -> int:
    # PSS is Linux' own account of shared pages, and slow to ask for; elsewhere the resident set.
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.rss))


def _work(pipe: Connection, prepare: Callable[..., Prepared], arguments: Sequence[Any]) -> None:
    # Libraries print; standard output is for the report alone.
    os.dup2(2, 1)
    work = prepare(*arguments)
    cpu_before, started = _cpu_seconds(), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    pipe.send((seconds, _cpu_seconds() - cpu_before, result))
    pipe.close()


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
