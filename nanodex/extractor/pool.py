"""Parser processes, and the threads of the parent that keep each of them busy and on time."""

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import psutil

from nanodex.extractor.frames import Closed, Incoming, Overdue, send
from nanodex.extractor.portions import portions
from nanodex.extractor.records import PackedRecord

# Source bytes of one chunk: large enough that the pipe does not matter, small enough to balance.
_CHUNK_BYTES = 96 * 1024
# Seconds in which a new process must say that it is there.
_START_SECONDS = 30.0
# A process that waits for its turn on a busy machine is given this many times its budget.
_STARVED = 30


@dataclass(frozen=True, slots=True)
class Task:
    """A file to parse; `load` reads it when its turn comes."""

    index: int
    size: int
    language: str
    dialect: str
    load: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: a record and the zlib of the source, or the reason why not."""

    index: int
    record: PackedRecord | None
    content: bytes | None
    reason: str = ""


def parse_all(
    tasks: Sequence[Task],
    *,
    workers: int,
    file_timeout_seconds: float,
    report: Callable[[Outcome], None],
    stopping: Callable[[], bool],
) -> None:
    """Parse every task and report its outcome; outcomes come in any order, one at a time.

    Args:
        tasks: what to parse.
        workers: processes; 0 is one for each core that this process may use.
        file_timeout_seconds: wall seconds after which a file's process is killed.
        report: receives each outcome, called from several threads but never at once.
        stopping: asked between chunks; True ends early, with tasks unreported.
    """
    # Largest first, so that no process is left with a large file at the end.
    by_size = sorted(tasks, key=lambda task: (-task.size, task.index))
    chunks = deque(portions(by_size, weigh=lambda task: task.size, enough=_CHUNK_BYTES))
    count = min(workers or len(os.sched_getaffinity(0)), len(chunks))
    lock = Lock()

    def guarded(outcome: Outcome) -> None:
        with lock:
            report(outcome)

    def drain() -> None:
        try:
            with _Parser(file_timeout_seconds) as parser:
                while not stopping():
                    try:
                        chunk = chunks.popleft()
                    except IndexError:
                        return
                    for outcome in parser.parse(chunk):
                        guarded(outcome)
        except BaseException:
            # One thread's error ends the stage: the others need not finish the list first.
            chunks.clear()
            raise

    if not count:
        return
    with ThreadPoolExecutor(count, thread_name_prefix="parser") as threads:
        for thread in [threads.submit(drain) for _ in range(count)]:
            thread.result()


class _Budget:
    """Seconds that a process may work; those in which the machine works for others count little.

    By the wall clock alone a busy machine would lose files that an idle one parses, and the same
    commit would not give the same graph.
    """

    def __init__(self, process: psutil.Process, seconds: float) -> None:
        self._process = process
        self._seconds = seconds
        self._wall = time.monotonic()
        self._worked = self._processor_seconds()

    def __call__(self) -> float:
        """Return the seconds to wait until this is asked again.

        Raises:
            Overdue: the budget is spent.
        """
        waited = time.monotonic() - self._wall
        if waited < self._seconds:
            return self._seconds - waited
        left = self._seconds - (self._processor_seconds() - self._worked)
        if left <= 0 or waited > _STARVED * self._seconds:
            raise Overdue
        return min(left, 1.0)

    def _processor_seconds(self) -> float:
        try:
            times = self._process.cpu_times()
        except psutil.Error:
            return 0.0  # gone: the pipe says so
        return times.user + times.system


class _Parser:
    """One parser process, started anew whenever a file has cost its life."""

    def __init__(self, file_timeout_seconds: float) -> None:
        self._timeout = file_timeout_seconds
        self._running: tuple[psutil.Popen, Incoming] | None = None

    def __enter__(self) -> "_Parser":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def parse(self, chunk: Sequence[Task]) -> Iterator[Outcome]:
        waiting = deque(chunk)
        while waiting:
            try:
                yield from self._exchange(waiting)
            except Overdue:
                yield Outcome(waiting.popleft().index, None, None, "Timeout")
                self._stop()
            except Closed:
                yield Outcome(waiting.popleft().index, None, None, "ParserCrashed")
                self._stop()

    def _exchange(self, waiting: deque[Task]) -> Iterator[Outcome]:
        process, answers = self._start()
        assert process.stdin is not None
        header = json.dumps([(task.language, task.dialect) for task in waiting]).encode()
        send(process.stdin.fileno(), header, *(task.load() for task in waiting))
        while waiting:
            budget = _Budget(process, self._timeout)
            status = answers.receive(patience=budget).decode(errors="replace")
            if status == "parsed":
                record = PackedRecord(
                    *(answers.receive(patience=budget) for _ in PackedRecord._fields)
                )
                content = answers.receive(patience=budget)
                yield Outcome(waiting.popleft().index, record, content)
            else:
                yield Outcome(waiting.popleft().index, None, None, status)

    def _start(self) -> tuple[psutil.Popen, Incoming]:
        if self._running is None:
            process = psutil.Popen(
                # -P: the working folder may be the stranger's repository; import nothing from it.
                [sys.executable, "-P", "-m", "nanodex.extractor.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            assert process.stdout is not None
            self._running = process, Incoming(process.stdout.fileno())
            try:
                # The budget of the first file begins when the process is ready for it.
                self._running[1].receive(patience=_Budget(process, _START_SECONDS))
            except (Closed, Overdue) as error:
                self._stop()
                raise RuntimeError("the parser process does not start") from error
        return self._running

    def _stop(self) -> None:
        if self._running is None:
            return
        process, _ = self._running
        process.kill()
        process.communicate()
        self._running = None
