"""Which tests exercise what: only a resolved use inside a test makes it a test of something."""

from nanodex.extractor.languages.protocol import Language
from nanodex.extractor.program import Program, Unit

_USES = frozenset({"calls", "instantiates", "imports"})


def tests_of(unit: Unit, language: Language) -> dict[int, int]:
    """Return for each symbol inside a test (itself, or nested in it) the index of that test."""
    tests: dict[int, int] = {}
    if not language.in_tests(unit.path):
        return tests
    for index, symbol in enumerate(unit.symbols):
        if symbol.parent in tests:
            tests[index] = tests[symbol.parent]
        elif symbol.kind in {"function", "method"} and language.is_test(unit, index):
            tests[index] = index
    return tests


def is_tested(program: Program, language: Language, *, relationship: str, target: int) -> bool:
    """Whether a use of `target` with this relationship inside a test says that it is tested."""
    return relationship in _USES and not language.in_tests(program.unit_of(target).path)
