"""Source bytes by path: unpacked once while they are in use, never all at once.

A repository of a gigabyte packs into a small graph; its facts are read file by file, so a few
unpacked files at a time serve proofs, call sites and splits alike.
"""

from functools import lru_cache

from nanodex.graph.reader import Graph

_FILES_HELD = 256


class Contents:
    """The files of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._read = lru_cache(maxsize=_FILES_HELD)(graph.content)

    def __getitem__(self, path: str) -> bytes:
        """Return the bytes of a file as they were parsed.

        Raises:
            KeyError: the graph holds no content of `path`.
        """
        return self._read(path)
