"""Java: declarations, Javadoc, annotations, and names by import, package and declared type."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath

import tree_sitter
import tree_sitter_java

from nanodex.extractor.languages.java import library, queries
from nanodex.extractor.languages.java.resolver import JavaResolver
from nanodex.extractor.languages.java.symbols import read
from nanodex.extractor.program import Program, Unit, UnitNames
from nanodex.extractor.records import FileRecord, Symbol
from nanodex.extractor.typed.overloads import same_type

_TESTS = ("@Test", "@ParameterizedTest", "@RepeatedTest", "@TestFactory")


class Java:
    """The language as the framework sees it."""

    name = "java"
    query_pack_version = queries.QUERY_PACK_VERSION
    grammars = ("tree-sitter-java",)
    suffixes: Mapping[str, str] = {".java": "java"}
    class_kinds: Mapping[str, str] = {
        **dict.fromkeys(library.THROWABLES, "exception"),
        **{
            f"java.lang.{name}": "exception"
            for name in queries.JAVA_LANG
            if name.endswith(("Exception", "Error"))
        },
    }

    def grammar(self, dialect: str) -> tree_sitter.Language:
        """Return the grammar; there is one."""
        return _grammar()

    def read(self, tree: tree_sitter.Tree, source: bytes, *, dialect: str) -> FileRecord:
        """Turn a syntax tree into a record."""
        return read(tree, source)

    def names(self, units: Sequence[Unit]) -> Mapping[str, UnitNames]:
        """Name a file by its path, and what it defines by its package."""
        return {
            unit.path: UnitNames(unit.path, unit.namespace, PurePosixPath(unit.path).name)
            for unit in units
        }

    def resolver(self, program: Program) -> JavaResolver:
        """Return the resolver for a program."""
        return JavaResolver(program)

    def is_test(self, unit: Unit, index: int) -> bool:
        """Whether JUnit or TestNG runs a method; by its name only in a file of tests (JUnit 3)."""
        symbol = unit.symbols[index]
        if symbol.kind != "method":
            return False
        if any(text.split("(")[0] in _TESTS for text in symbol.decorators):
            return True
        return symbol.name.startswith("test") and self.in_tests(unit.path)

    def in_tests(self, path: str) -> bool:
        """Whether a file lies below a folder of tests or is named as one."""
        parts = PurePosixPath(path).parts
        stem = PurePosixPath(path).stem
        return bool({"test", "tests", "androidTest"} & {*parts[:-1]}) or stem.endswith(
            ("Test", "Tests", "TestCase", "IT")
        )

    def overrides(self, method: Symbol, inherited: Symbol) -> bool:
        """Whether a method replaces an inherited one: virtual, with the same parameters."""
        if inherited.visibility == "private" or {"static"} & {
            *method.signature.split("(")[0].split(),
            *inherited.signature.split("(")[0].split(),
        }:
            return False
        return len(method.parameters) == len(inherited.parameters) and all(
            same_type(mine.annotation, theirs.annotation)
            for mine, theirs in zip(method.parameters, inherited.parameters, strict=True)
        )


@cache
def _grammar() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_java.language())


LANGUAGE = Java()
