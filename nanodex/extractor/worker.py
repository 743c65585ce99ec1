"""The parser process: `python -P -m nanodex.extractor.worker`, frames in, frames out.

A process of its own because a parser meets hostile input: the parent kills one that takes too long
and starts another, and memory that a monster file needs is bounded and goes back when it ends.

In: a header (JSON list of [language, dialect]) and one frame of source for each file of a chunk.
Out: the frame "ready" once, then for each file a status frame ("parsed" or the reason of a
failure), and for "parsed" the parts of the record and the zlib of the source.
"""

import gc
import json
import os
import resource
import sys
import zlib

from nanodex.extractor.frames import Closed, Incoming, send
from nanodex.extractor.records import pack
from nanodex.extractor.tree_sitter_parser import Unparsable, parse

# Frames of pure Python functions: long chains of operators nest thousands deep in honest code.
_RECURSION_LIMIT = 12_000
_MEMORY_LIMIT = 2 << 30


def main() -> int:
    """Serve chunks until the parent closes the pipe."""
    sys.setrecursionlimit(_RECURSION_LIMIT)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(_MEMORY_LIMIT, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    # A record is a tree of tuples without cycles: the collector only costs time.
    gc.disable()
    # What a library prints must not mix with frames.
    incoming, outgoing = Incoming(0), os.dup(1)
    os.dup2(2, 1)
    try:
        send(outgoing, b"ready")
        while True:
            header = json.loads(incoming.receive())
            sources = [incoming.receive() for _ in header]
            for (language, dialect), source in zip(header, sources, strict=True):
                send(outgoing, *_answer(source, language=language, dialect=dialect))
            gc.collect()
    except Closed:
        return 0


def _answer(source: bytes, *, language: str, dialect: str) -> tuple[bytes, ...]:
    try:
        record = pack(parse(source, language=language, dialect=dialect))
    except Unparsable as error:
        return (str(error).encode(),)
    return (b"parsed", *record, zlib.compress(source, 6))


if __name__ == "__main__":
    sys.exit(main())
