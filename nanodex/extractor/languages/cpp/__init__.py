"""C++ and C: declarations and definitions as one, names by class, namespace and include."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath

import tree_sitter
import tree_sitter_cpp

from nanodex.extractor.languages.cpp import queries
from nanodex.extractor.languages.cpp.resolver import CppResolver
from nanodex.extractor.languages.cpp.symbols import read
from nanodex.extractor.program import Program, Unit, UnitNames
from nanodex.extractor.records import FileRecord, Symbol
from nanodex.extractor.typed.overloads import same_type


class Cpp:
    """The language as the framework sees it."""

    name = "cpp"
    query_pack_version = queries.QUERY_PACK_VERSION
    grammars = ("tree-sitter-cpp",)
    # C is read with the grammar of C++: a header does not say which of the two it is.
    suffixes: Mapping[str, str] = dict.fromkeys(
        (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h", ".c", ".ipp", ".inl"), "cpp"
    )
    class_kinds: Mapping[str, str] = dict.fromkeys(queries.EXCEPTIONS, "exception")

    def grammar(self, dialect: str) -> tree_sitter.Language:
        """Return the grammar; there is one."""
        return _grammar()

    def read(self, tree: tree_sitter.Tree, source: bytes, *, dialect: str) -> FileRecord:
        """Turn a syntax tree into a record."""
        return read(tree, source, _grammar())

    def names(self, units: Sequence[Unit]) -> Mapping[str, UnitNames]:
        """Name a file by its path; what it defines has its namespace in its own name."""
        return {
            unit.path: UnitNames(unit.path, "", PurePosixPath(unit.path).name) for unit in units
        }

    def resolver(self, program: Program) -> CppResolver:
        """Return the resolver for a program."""
        return CppResolver(program)

    def is_test(self, unit: Unit, index: int) -> bool:
        """Whether a macro of a test framework makes the function a test."""
        return unit.symbols[index].signature.split("(")[0] in queries.TEST_MACROS

    def in_tests(self, path: str) -> bool:
        """Whether a file is named as a test or lies below a folder of tests."""
        place = PurePosixPath(path)
        return bool({"test", "tests", "testing", "unittests"} & {*place.parts[:-1]}) or (
            place.stem.endswith(("_test", "_tests", "_unittest", "Test"))
            or place.stem.startswith("test_")
        )

    def overrides(self, method: Symbol, inherited: Symbol) -> bool:
        """Whether a method replaces an inherited one: virtual, with the same parameters."""
        virtual = "virtual" in inherited.signature.split("(")[0].split()
        marked = {"override", "final"} & {*method.signature.rpartition(")")[2].split()}
        same = len(method.parameters) == len(inherited.parameters) and all(
            same_type(mine.annotation, theirs.annotation)
            for mine, theirs in zip(method.parameters, inherited.parameters, strict=True)
        )
        return same and (virtual or bool(marked)) and not method.name.startswith("~")


@cache
def _grammar() -> tree_sitter.Language:
    return tree_sitter.Language(tree_sitter_cpp.language())


LANGUAGE = Cpp()
