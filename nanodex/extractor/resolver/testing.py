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


class Tested:
    """What a use inside a test says of its target; a language is asked once about each file."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._in_tests: dict[tuple[str, int], bool] = {}

    def is_tested(self, language: Language, *, relationship: str, target: int) -> bool:
        """Whether a use of `target` with this relationship inside a test says it is tested."""
        if relationship not in _USES:
            return False
        unit = self._program.unit_of(target)
        key = (language.name, unit.first)
        known = self._in_tests.get(key)
        if known is None:
            known = self._in_tests[key] = language.in_tests(unit.path)
        return not known
