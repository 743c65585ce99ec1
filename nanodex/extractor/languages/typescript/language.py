"""TypeScript and JavaScript as the framework sees them."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath

import tree_sitter
import tree_sitter_javascript
import tree_sitter_typescript

from nanodex.extractor.languages.typescript import queries
from nanodex.extractor.languages.typescript.resolver import EcmaResolver
from nanodex.extractor.languages.typescript.symbols import read
from nanodex.extractor.program import Program, Unit, UnitNames
from nanodex.extractor.records import FileRecord, Symbol

_TEST_HEADS = ("it(", "it.", "test(", "test.", "specify(", "specify.")


class EcmaLanguage:
    """One of the two languages."""

    query_pack_version = queries.QUERY_PACK_VERSION
    class_kinds: Mapping[str, str] = dict.fromkeys(queries.ERRORS, "exception")

    def __init__(
        self, *, name: str, grammars: tuple[str, ...], suffixes: Mapping[str, str]
    ) -> None:
        self.name = name
        self.grammars = grammars
        self.suffixes = suffixes

    def grammar(self, dialect: str) -> tree_sitter.Language:
        """Return the grammar of typescript, tsx or javascript (which knows JSX)."""
        return _grammar(dialect)

    def read(self, tree: tree_sitter.Tree, source: bytes, *, dialect: str) -> FileRecord:
        """Turn a syntax tree into a record."""
        return read(tree, source)

    def names(self, units: Sequence[Unit]) -> Mapping[str, UnitNames]:
        """Name a module by its path without its ending; `index` stands for its folder."""
        names = {unit.path: _module_name(unit.path) for unit in units}
        return {
            path: UnitNames(name.replace("/", "."), name.replace("/", "."), name.rpartition("/")[2])
            for path, name in names.items()
        }

    def resolver(self, program: Program) -> EcmaResolver:
        """Return the resolver for a program."""
        return EcmaResolver(program)

    def is_test(self, unit: Unit, index: int) -> bool:
        """Whether a runner was told of the function: `it("...", ...)`, `test("...", ...)`."""
        return unit.symbols[index].signature.startswith(_TEST_HEADS)

    def in_tests(self, path: str) -> bool:
        """Whether a file is named as a test or lies below a folder of tests."""
        place = PurePosixPath(path)
        folders = {*place.parts[:-1]}
        return bool({"test", "tests", "__tests__", "spec", "e2e", "__mocks__"} & folders) or any(
            place.stem.endswith(end) for end in (".test", ".spec", "-test", "_test", "-spec")
        )

    def overrides(self, method: Symbol, inherited: Symbol) -> bool:
        """Whether a method replaces an inherited one: not private, not static, no constructor."""
        return (
            inherited.visibility != "private"
            and method.name != "constructor"
            and not any(
                "static" in symbol.signature.split("(")[0].split() for symbol in (method, inherited)
            )
        )


def _module_name(path: str) -> str:
    stem = path
    for ending in (".d.ts", ".mts", ".cts", ".tsx", ".ts", ".mjs", ".cjs", ".jsx", ".js"):
        if path.endswith(ending):
            stem = path.removesuffix(ending)
            break
    return stem.removesuffix("/index")


@cache
def _grammar(dialect: str) -> tree_sitter.Language:
    capsule = {
        "typescript": tree_sitter_typescript.language_typescript,
        "tsx": tree_sitter_typescript.language_tsx,
        "javascript": tree_sitter_javascript.language,
    }[dialect]
    return tree_sitter.Language(capsule())
