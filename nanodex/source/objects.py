"""Reads trees and blobs of a bare repository through git's plumbing, every answer bounded."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from types import TracebackType
from typing import IO, NamedTuple, Self

from nanodex.source.failures import too_large, unavailable
from nanodex.source.git import Git

_BLOCK = 1 << 16


class TreeEntry(NamedTuple):
    """One entry of a tree, below the folder that was listed."""

    mode: str  # 100644, 100755: file; 120000: link; 160000: submodule
    object_id: str
    path: bytes  # as the repository has it: may hold anything but NUL


class Objects:
    """Sizes and contents of objects; two git processes that live as long as the block.

    Nothing is fetched: an object that the server was asked to leave out is missing here.
    """

    def __init__(self, git: Git, *, repository: Path) -> None:
        self._git = git
        self._repository = repository
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._sizes = self._start("cat-file", "--batch-check=%(objecttype) %(objectsize)")
        self._contents = self._start("cat-file", "--batch=%(objectsize)")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def entries(self, tree: str, *, max_entries: int) -> Iterator[TreeEntry]:
        """List everything below a tree, folders themselves left out.

        A tree may hold itself a thousand times over, so the list is read as it comes.

        Raises:
            UserError: there are more than `max_entries`.
            TryAgain: git ended early.
        """
        with ExitStack() as stack:
            process = self._start("ls-tree", "-r", "-z", "--end-of-options", tree, stack=stack)
            rest = b""
            count = 0
            while block := _stdout(process).read(_BLOCK):
                *records, rest = (rest + block).split(b"\0")
                count += len(records)
                if count > max_entries:
                    raise too_large(f"the repository has more than {max_entries} entries")
                for record in records:
                    head, _, path = record.partition(b"\t")
                    mode, _, object_id = head.decode("ascii").split(" ")
                    yield TreeEntry(mode, object_id, path)
            if process.wait() != 0:
                raise unavailable(f"git could not list the files of {self._git.url}")

    def size(self, object_id: str) -> int | None:
        """Return the bytes of a blob, or None where the repository here does not hold it."""
        answer = self._ask(self._sizes, object_id)
        kind, _, size = answer.partition(" ")
        return int(size) if kind == "blob" else None

    def content(self, object_id: str) -> bytes:
        """Return the bytes of a blob; ask for its size first, this one has no limit."""
        size = int(self._ask(self._contents, object_id))
        content = _stdout(self._contents).read(size + 1)
        if len(content) != size + 1:
            raise unavailable(f"git ended while it read {self._git.url}")
        return content[:-1]

    def _ask(self, process: Popen[bytes], object_id: str) -> str:
        assert process.stdin is not None
        try:
            process.stdin.write(object_id.encode("ascii") + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise unavailable(f"git ended while it read {self._git.url}") from None
        answer = _stdout(process).readline(256)
        if not answer.endswith(b"\n"):
            raise unavailable(f"git ended while it read {self._git.url}")
        return answer.decode("ascii").rstrip("\n")

    def _start(self, *arguments: str, stack: ExitStack | None = None) -> Popen[bytes]:
        stack = stack or self._stack
        process = stack.enter_context(
            self._git.start("--git-dir=.", *arguments, work=self._repository, stdin=PIPE)
        )
        # A read from a pipe has no timeout; the end of the process ends the read.
        timer = threading.Timer(max(self._git.deadline - time.monotonic(), 0.0), process.kill)
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        return process


def _stdout(process: Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout
