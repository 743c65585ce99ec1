"""Chooses among overloads by what the arguments are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanodex.extractor.program import Program
from nanodex.extractor.records import Parameter
from nanodex.extractor.typed.values import Meaning, Nodes, Unknown, Value

if TYPE_CHECKING:
    from nanodex.extractor.typed.evaluator import Evaluator


def select(evaluator: "Evaluator", meaning: Nodes, arguments: Sequence[Meaning]) -> Meaning:
    """Keep the overloads that fit in number, then in type; Unknown where several remain."""
    program = evaluator.program
    fitting = [
        node for node in meaning.nodes if _takes(program.symbol(node).parameters, len(arguments))
    ]
    if len(fitting) > 1:
        exact = [n for n in fitting if _matches(evaluator, program, n, arguments, exact=True)]
        if not exact and evaluator.converts_arguments:
            return Unknown("AmbiguousOverload")
        fitting = exact or [
            n for n in fitting if _matches(evaluator, program, n, arguments, exact=False)
        ]
    if len(fitting) == 1:
        return meaning._replace(nodes=(fitting[0],), rule=f"{meaning.rule}, overload")
    bodies = _one_declaration(program, fitting)
    if bodies is not None:
        return meaning._replace(nodes=(bodies,))
    return Unknown("AmbiguousOverload" if fitting else "NoFittingOverload")


def same_type(first: str, second: str) -> bool:
    """Whether two written types may be the same: equal names, or one is a type variable."""
    names = [written.split("<")[0].rsplit(".", 1)[-1].strip() for written in (first, second)]
    return names[0] == names[1] or (min(map(len, names)) <= 2 and not names[0].islower())


def _one_declaration(program: Program, nodes: Sequence[int]) -> int | None:
    """Return the node to name where all of `nodes` declare the same function."""
    shapes = {tuple(p.annotation for p in program.symbol(node).parameters) for node in nodes}
    if len(shapes) != 1 or len({program.qualified_name(node) for node in nodes}) != 1:
        return None
    return nodes[0]


def _takes(parameters: Sequence[Parameter], count: int) -> bool:
    variadic = any(p.annotation.endswith("...") or p.name.startswith("...") for p in parameters)
    required = sum(
        not p.default_value and not p.name.startswith("...") and not p.annotation.endswith("...")
        for p in parameters
    )
    return required <= count and (variadic or count <= len(parameters))


def _matches(
    evaluator: "Evaluator",
    program: Program,
    node: int,
    arguments: Sequence[Meaning],
    *,
    exact: bool,
) -> bool:
    """Whether every argument can be (exact: is) of its parameter's written type."""
    for parameter, argument in zip(program.symbol(node).parameters, arguments, strict=False):
        written = parameter.annotation.removeprefix("final ").split("<")[0].strip()
        simple = written.rsplit(".", 1)[-1]
        if not isinstance(argument, Value):
            if exact:
                return False
            continue
        names = [
            _simple(program, current.target) if current else ""
            for current in evaluator.lineage(argument.type)
        ]
        if exact and names[0] != simple:
            return False
        if not exact and simple not in names and not _open_ended(names, simple):
            return False
    return True


def _open_ended(names: Sequence[str], simple: str) -> bool:
    """Whether a value whose known bases are `names` may still be a `simple`."""
    return "" in names or len(simple) <= 2 or simple == "Object"


def _simple(program: Program, target: object) -> str:
    if isinstance(target, int):
        return program.symbol(target).name
    return target.rsplit(".", 1)[-1] if isinstance(target, str) else ""
