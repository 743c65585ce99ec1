"""What the framework asks of a language, and the answers that a resolver may give."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import tree_sitter

from nanodex.extractor.program import Program, Unit, UnitNames
from nanodex.extractor.records import FileRecord, Reference, Symbol


class Found(NamedTuple):
    """The reference means this first-party node."""

    node: int
    rule: str
    conf: float
    relationship: str = ""  # "" keeps the reference's own


class External(NamedTuple):
    """The reference means something outside the repository, by its real dotted name."""

    name: str
    rule: str
    conf: float
    relationship: str = ""


class Missing(NamedTuple):
    """No rule resolves the reference; the reason is a CamelCase word."""

    reason: str


Resolution = Found | External | Missing


class Resolver(Protocol):
    """Answers what references mean, with the whole program in view."""

    def resolve(self, unit: Unit, reference: Reference) -> Resolution:
        """Resolve one reference of `unit`.

        References `extends` and `implements` of the whole program are asked first, so that
        `Program.linearization` may be used for all others.
        """


class Language(Protocol):
    """One language: a folder below `nanodex.extractor.languages`."""

    name: str
    # Raised with every change of what `read` gives for the same bytes; part of the cache's key.
    query_pack_version: int
    # Names of the installed distributions of the grammars; their versions enter the cache's key.
    grammars: tuple[str, ...]
    # File name suffix, with its dot and in lower case -> dialect ("python", "tsx" ...).
    suffixes: Mapping[str, str]
    # External base class -> kind that a class gets which inherits from it: exception, enum ...
    class_kinds: Mapping[str, str]

    def grammar(self, dialect: str) -> tree_sitter.Language:
        """Return the grammar of a dialect."""

    def read(self, tree: tree_sitter.Tree, source: bytes, *, dialect: str) -> FileRecord:
        """Turn a syntax tree into a record; a pure function, run in a worker process."""

    def names(self, units: Sequence[Unit]) -> Mapping[str, UnitNames]:
        """Name the modules of all files of this language, by path."""

    def resolver(self, program: Program) -> Resolver:
        """Return the resolver for a program; units of other languages are in it too."""

    def is_test(self, unit: Unit, index: int) -> bool:
        """Whether symbol `index` of `unit` is a test: a function or method that a runner calls."""

    def overrides(self, method: Symbol, inherited: Symbol) -> bool:
        """Whether a method replaces one of the same name that its class inherits."""

    def in_tests(self, path: str) -> bool:
        """Whether the file holds tests or what only tests use; nothing in it is 'tested'."""
