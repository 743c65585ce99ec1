"""Blanks macros that a grammar without a preprocessor stumbles over.

`class LEVELDB_EXPORT DB : public Base {` is not C++ until the macro is expanded, and the tree of it
is wrong from there on. Macros that say how a thing is exported are replaced by as many spaces, so
that every byte offset stays true; the text of symbols is taken from the source as it is.
"""

import re

_EXPORTED_CLASS = re.compile(
    rb"\b(?:class|struct|union)\s+(?P<macro>[A-Z][A-Z0-9_]{2,}(?:\([^()\n]*\))?)\s+"
    rb"(?=[A-Za-z_]\w*\s*(?:final\s*)?[:{;])"
)
_ATTRIBUTE = re.compile(
    rb"(?<![\w#])(?P<macro>(?:[A-Z][A-Z0-9_]*_(?:EXPORT|API|INLINE|NODISCARD|DEPRECATED|CONSTEXPR"
    rb"|NOEXCEPT|NORETURN|UNUSED|LOCKS_EXCLUDED|GUARDED_BY|EXCLUSIVE_LOCKS_REQUIRED"
    rb"|CONSTEXPR20|VISIBILITY)|GUARDED_BY|LOCKS_EXCLUDED|EXCLUSIVE_LOCKS_REQUIRED)"
    rb"(?:\([^()\n]*\))?)(?=[\s;{])"
)
_AFTER_PARAMETERS = re.compile(
    rb"\)\s*(?:const\s+)?(?P<macro>[A-Z][A-Z0-9_]{3,}\([^()\n]*\))(?=\s*[;{])"
)
_BRACKET = re.compile(
    rb"^[ \t]*(?P<macro>[A-Z][A-Z0-9_]*(?:BEGIN|END)[A-Z0-9_]*(?:\([^()\n]*\))?)[ \t]*;?[ \t]*$",
    re.M,
)


def blank(source: bytes) -> bytes:
    """Return `source` with such macros replaced by spaces; its length is the same."""
    for pattern in (_EXPORTED_CLASS, _ATTRIBUTE, _AFTER_PARAMETERS, _BRACKET):
        source = pattern.sub(_spaces, source)
    return source


def _spaces(match: re.Match[bytes]) -> bytes:
    line_start = match.string.rfind(b"\n", 0, match.start()) + 1
    if match.string[line_start : match.end()].lstrip().startswith(b"#"):
        return match.group()  # A directive defines the macro; it stays.
    start, end = match.span("macro")
    whole = match.group()
    offset = match.start()
    return whole[: start - offset] + b" " * (end - start) + whole[end - offset :]
