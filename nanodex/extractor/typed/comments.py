"""Documentation comments as plain text: Javadoc, JSDoc, Doxygen, comments above a declaration."""

import re

_BLOCK = re.compile(r"^/\*[*!]?<?|\*/$")
_LINE = re.compile(r"^//[/!]?<?")
_GUTTER = re.compile(r"^\s*\*(?!/) ?")
_RULER = re.compile(r"^[-=*/#~_ ]*$")


def is_documentation(comment: str) -> bool:
    """Whether `comment` is marked as documentation: `/**`, `/*!`, `///` or `//!`."""
    return comment.startswith(("/**", "/*!", "///", "//!")) and comment != "/**/"


def clean(comment: str) -> str:
    """Return the text of a comment without its markers, gutters and rulers.

    Line comments are given together, one to a line.
    """
    if comment.startswith("/*"):
        body = _BLOCK.sub("", _BLOCK.sub("", comment, count=1).rstrip())
        lines = [_GUTTER.sub("", line).rstrip() for line in body.split("\n")]
    else:
        lines = [_LINE.sub("", line.strip()).rstrip() for line in comment.split("\n")]
        lines = [line[1:] if line.startswith(" ") else line for line in lines]
    return "\n".join("" if _RULER.match(line) else line for line in lines).strip()
