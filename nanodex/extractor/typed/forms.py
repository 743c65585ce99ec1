"""The forms of bindings that typed languages write, and how to read them back.

A record has no fields of its own for declared types; they travel as bindings:

    symbol      a variable or constant that is a symbol of its own: [type, initial value]
    local       a parameter or a local variable: [type, initial value]
    generic     a type variable of a class or function: its bound
    import      an import; the value is the language's own
    returns     under RETURNS in the scope of a function: its type
    bases       under BASES in the scope of a class: a list of types
    alias       under ALIAS in the scope of a type alias: the type
    namespace   under NAMESPACES in the scope of a file: a namespace that it opens
    forward     under FORWARD in the scope of a file: a class that it names without a body
    declared    under DECLARED in the scope of a function: it has no body here
"""

from nanodex.extractor.program import Program
from nanodex.extractor.records import Binding
from nanodex.extractor.typed.terms import Term, decode

SYMBOL = "symbol"
LOCAL = frozenset({"local"})
TYPE_VARIABLE = frozenset({"generic"})
IMPORT = frozenset({"import"})
# Names that no language can write.
RETURNS, BASES, ALIAS = "<returns>", "<bases>", "<alias>"
NAMESPACES, DECLARED, FORWARD = "<namespaces>", "<declared>", "<forward>"


def typed(binding: Binding) -> tuple[Term | None, Term | None]:
    """Return the declared type and the initial value of a symbol or local."""
    if binding.value is None:
        return None, None
    return decode(binding.value[0]), decode(binding.value[1])


def _single(program: Program, node: int, name: str) -> Binding | None:
    unit = program.unit_of(node)
    found = unit.scope(node - unit.first).get(name)
    return found[0] if found else None


def returns(program: Program, node: int) -> Term | None:
    """Return the type that a function gives, as written."""
    binding = _single(program, node, RETURNS)
    return decode(binding.value) if binding else None


def alias(program: Program, node: int) -> Term | None:
    """Return the type that a type alias stands for."""
    binding = _single(program, node, ALIAS)
    return decode(binding.value) if binding else None


def is_type(program: Program, node: int) -> bool:
    """Whether `node` is a type alias."""
    return _single(program, node, ALIAS) is not None


def is_declared(program: Program, node: int) -> bool:
    """Whether `node` is a function that has no body where it stands."""
    return _single(program, node, DECLARED) is not None


def bases(program: Program, node: int) -> tuple[Term, ...]:
    """Return the bases of a class as written, in order."""
    binding = _single(program, node, BASES)
    if binding is None or binding.value is None:
        return ()
    return tuple(term for term in map(decode, binding.value) if term is not None)


def type_variables(program: Program, node: int) -> tuple[str, ...]:
    """Return the names of the type variables of a class, in order."""
    unit = program.unit_of(node)
    return tuple(
        binding.name
        for bindings in unit.scope(node - unit.first).values()
        for binding in bindings
        if binding.form in TYPE_VARIABLE
    )
