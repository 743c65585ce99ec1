"""What follows from resolved base classes: kinds, overriding methods, implemented interfaces."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nanodex.extractor.languages.protocol import Language
from nanodex.extractor.program import Program, Unit

CLASS_KINDS = frozenset({"class", "interface", "enum", "exception"})


class Override(NamedTuple):
    """A method and the inherited one that it replaces, as node ids."""

    method: int
    inherited: int
    rule: str
    conf: float


def class_kinds(program: Program, languages: Mapping[str, Language]) -> dict[int, str]:
    """Return the kinds that classes get from external ancestors: exception, enum, interface.

    An interface is one that names the external marker itself (`class P(Protocol)`): a class below
    an interface is a class.
    """
    kinds: dict[int, str] = {}
    for unit in program.units:
        markers = languages[unit.language].class_kinds
        for index, symbol in enumerate(unit.symbols):
            if symbol.kind != "class" or not markers:
                continue
            node = unit.first + index
            direct = program.bases.get(node, ())
            for base in program.linearization(node):
                kind = markers.get(base, "") if isinstance(base, str) else ""
                if kind and (kind != "interface" or base in direct):
                    kinds[node] = kind
                    break
    return kinds


def inherited_name(program: Program, language: Language, unit: Unit) -> Iterator[Override]:
    """Yield each method of `unit` that replaces an inherited one, nearest in lookup order."""
    for index, symbol in enumerate(unit.symbols):
        if symbol.kind != "method" or symbol.parent < 0:
            continue
        owner = unit.first + symbol.parent
        certain = True
        for base in program.linearization(owner)[1:]:
            if not isinstance(base, int):
                # An ancestor that we cannot see may define the name too, nearer than ours.
                certain = certain and base is not None
                continue
            candidates = [
                node
                for node in program.members(base, symbol.name)
                if program.symbol(node).kind == "method"
                and language.overrides(symbol, program.symbol(node))
            ]
            if candidates:
                yield Override(
                    unit.first + index, candidates[-1], "inherited name", 1.0 if certain else 0.9
                )
                break
