"""Expressions and types as small values that a cache can hold and a linker can follow.

A parser sees one file and cannot say what `store.find(id)` calls. It writes down the expression
as a term, and the linker follows the term when all files are known.
"""

from typing import Any, NamedTuple

# Chains deeper than this are cut: nobody writes them, and a hostile file must not cost a stack.
MAX_DEPTH = 24


class Term(NamedTuple):
    """An expression or a type.

    op says how to read it:
        name    the simple name `text` at byte `at`
        member  member `text` of parts[0]
        arrow   member `text` of what the pointer parts[0] points at
        call    parts[0] called with parts[1:]
        of      a value of the type parts[0]: `new T()`, a cast, a declared variable
        this    the receiver
        super   the receiver, seen as its base class
        item    an element of parts[0]
        changing  a variable that began as parts[0]: it keeps the type, not the value
        await   what the promise parts[0] resolves to
        type    the type named `text` (dotted) with arguments parts; `[]` is an array of parts[0]
        none    anything that no rule can follow
    """

    op: str
    text: str = ""
    at: int = 0
    parts: tuple["Term", ...] = ()


NONE = Term("none")
THIS = Term("this")
SUPER = Term("super")


def name(text: str, at: int) -> Term:
    """Return the term of a simple name at byte `at`."""
    return Term("name", text, at)


def member(base: Term, text: str) -> Term:
    """Return the term of `base.text`."""
    return NONE if base.op == "none" else Term("member", text, 0, (base,))


def type_of(text: str, at: int, *arguments: Term) -> Term:
    """Return the term of the type `text<arguments>`."""
    return Term("type", text, at, arguments)


def value_of(type_term: Term | None) -> Term:
    """Return the term of a value whose type is `type_term`."""
    return NONE if type_term is None or type_term.op == "none" else Term("of", "", 0, (type_term,))


def changing(first: Term) -> Term:
    """Return the term of a variable that may hold another value of the type of `first` later."""
    return NONE if first.op == "none" else Term("changing", "", 0, (first,))


def encode(term: Term | None) -> Any:
    """Return `term` as JSON values; None stays None."""
    if term is None:
        return None
    if not term.parts:
        return [term.op, term.text, term.at]
    return [term.op, term.text, term.at, [encode(part) for part in term.parts]]


def decode(value: Any) -> Term | None:
    """Return the term that `encode` wrote as `value`."""
    if value is None:
        return None
    parts = tuple(decode(part) or NONE for part in value[3]) if len(value) > 3 else ()
    return Term(value[0], value[1], value[2], parts)
