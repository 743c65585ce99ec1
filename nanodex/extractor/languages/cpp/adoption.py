"""One function, one node: a definition takes the place of its declarations.

`double area() const;` in a header and `double Circle::area() const { ... }` in a source file are
one function. Which declaration a definition belongs to is decided by qualified name and parameter
types; where that is not certain, both stay.
"""

import re
from collections import defaultdict

from nanodex.extractor.program import Program
from nanodex.extractor.typed import forms

_NOISE = re.compile(r"\b(const|class|struct|enum|std::|inline)\b|\s|[A-Za-z_]\w*::")


def adopt_definitions(program: Program) -> dict[int, list[int]]:
    """Merge declarations into definitions; return what each definition replaced."""
    declared: dict[str, list[int]] = defaultdict(list)
    defined: dict[str, list[int]] = defaultdict(list)
    for unit in program.units:
        if unit.language != "cpp":
            continue
        for index, symbol in enumerate(unit.symbols):
            if symbol.kind in ("function", "method") and not symbol.signature.startswith("#"):
                node = unit.first + index
                side = declared if forms.is_declared(program, node) else defined
                side[unit.qualified_name(index)].append(node)
    replaced: dict[int, list[int]] = defaultdict(list)
    for name, declarations in declared.items():
        for declaration in declarations:
            definition = _definition(program, declaration, defined.get(name, ()))
            if definition is None:
                continue
            program.adopt(declaration, definition)
            replaced[definition].append(declaration)
    return replaced


def _definition(
    program: Program, declaration: int, candidates: list[int] | tuple[()]
) -> int | None:
    same = [node for node in candidates if _shape(program, node) == _shape(program, declaration)]
    return same[0] if len(same) == 1 else None


def _shape(program: Program, node: int) -> tuple[object, ...]:
    """Return what tells overloads apart: parameter types without qualification, and constness."""
    symbol = program.symbol(node)
    tail = symbol.signature.rpartition(")")[2].split()
    return (
        tuple(_NOISE.sub("", parameter.annotation) for parameter in symbol.parameters),
        "const" in tail,
    )
