"""Python: grammar, walk, module names and resolver."""

import builtins
from collections.abc import Mapping, Sequence

import tree_sitter

from nanodex.extractor.languages.python import definitions, statements, uses
from nanodex.extractor.languages.python.modules import module_names
from nanodex.extractor.languages.python.queries import QUERY_PACK_VERSION, SILENT
from nanodex.extractor.languages.python.resolver import PythonResolver
from nanodex.extractor.languages.python.syntax import grammar
from nanodex.extractor.languages.python.walk import Handler, Walk
from nanodex.extractor.program import Program, Unit, UnitNames
from nanodex.extractor.records import FileRecord, Symbol

_BUILTIN_EXCEPTIONS = tuple(
    sorted(
        f"builtins.{name}"
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    )
)
_TEST_FOLDERS = frozenset({"tests", "test", "testing"})


_HANDLERS: Mapping[str, Handler | None] = {
    **definitions.HANDLERS,
    **statements.HANDLERS,
    **uses.HANDLERS,
    **dict.fromkeys(SILENT),
}


class _Python:
    name = "python"
    query_pack_version = QUERY_PACK_VERSION
    grammars: tuple[str, ...] = ("tree-sitter-python",)
    suffixes: Mapping[str, str] = {".py": "python", ".pyi": "python"}
    class_kinds: Mapping[str, str] = {
        **dict.fromkeys(_BUILTIN_EXCEPTIONS, "exception"),
        **dict.fromkeys(("enum.Enum", "enum.IntEnum", "enum.StrEnum", "enum.Flag", "enum.IntFlag"),
                        "enum"),
        **dict.fromkeys(("typing.Protocol", "typing_extensions.Protocol"), "interface"),
    }  # fmt: skip

    def grammar(self, dialect: str) -> tree_sitter.Language:
        return grammar()

    def read(self, tree: tree_sitter.Tree, source: bytes, *, dialect: str) -> FileRecord:
        walk = Walk(tree.root_node, source, handlers=_HANDLERS)
        definitions.define_module(walk, tree.root_node)
        return walk.record

    def names(self, units: Sequence[Unit]) -> Mapping[str, UnitNames]:
        return module_names([unit.path for unit in units])

    def resolver(self, program: Program) -> PythonResolver:
        return PythonResolver(program)

    def is_test(self, unit: Unit, index: int) -> bool:
        symbol = unit.symbols[index]
        return symbol.name.startswith("test") and not _is_fixture(symbol)

    def overrides(self, method: Symbol, inherited: Symbol) -> bool:
        # Name mangling gives each class its own `__name`.
        return method.visibility != "private"

    def in_tests(self, path: str) -> bool:
        *folders, name = path.split("/")
        return (
            name.startswith("test_")
            or name.rpartition(".")[0].endswith("_test")
            or name in {"conftest.py", "tests.py"}
            or not _TEST_FOLDERS.isdisjoint(folders)
        )


def _is_fixture(symbol: Symbol) -> bool:
    return any("fixture" in decorator for decorator in symbol.decorators)


LANGUAGE = _Python()
