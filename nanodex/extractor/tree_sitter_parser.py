"""Turns the bytes of one file into its record. Runs in a worker process."""

import tree_sitter

from nanodex.extractor.languages import load_language
from nanodex.extractor.records import FileRecord


class Unparsable(Exception):
    """No record can be made of the bytes; the message is the reason."""


def parse(source: bytes, *, language: str, dialect: str) -> FileRecord:
    """Return the record of a file.

    Raises:
        Unparsable: TooDeep, the syntax is nested deeper than the walk may go; OutOfMemory.
    """
    folder = load_language(language)
    try:
        tree = tree_sitter.Parser(folder.grammar(dialect)).parse(source)
        return folder.read(tree, source, dialect=dialect)
    except RecursionError:
        raise Unparsable("TooDeep") from None
    except MemoryError:
        raise Unparsable("OutOfMemory") from None
