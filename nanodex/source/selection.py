"""Which paths are taken: the user's patterns and the rules for names that nobody should trust."""

from dataclasses import dataclass

import pathspec

from nanodex.api.reasons import Reason
from nanodex.errors import UserError

_MAX_PATH_BYTES = 1024
_MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class Selection:
    """Include and exclude patterns with the meaning of a .gitignore at the repository's root.

    A path is taken when `include` is empty or matches it, and `exclude` does not match it. Within a
    list the last pattern that matches decides, and `!` turns one around, as git has it.
    """

    include: pathspec.GitIgnoreSpec
    exclude: pathspec.GitIgnoreSpec

    def takes(self, path: str) -> bool:
        """Whether `path`, relative to the root, is wanted."""
        if len(self.include) and not self.include.match_file(path):
            return False
        return not self.exclude.match_file(path)


def compile_selection(*, include: tuple[str, ...], exclude: tuple[str, ...]) -> Selection:
    """Compile the patterns.

    Raises:
        UserError: a pattern is not one that git would take.
    """
    compiled = []
    for field, patterns in (("include", include), ("exclude", exclude)):
        try:
            compiled.append(pathspec.GitIgnoreSpec.from_lines(patterns))
        except ValueError as error:
            raise UserError(
                f"{field} has a pattern that cannot be read: {error}",
                reason=Reason.INVALID_INPUT,
                hint="write patterns as in a .gitignore file, for example **/*.py",
            ) from error
    return Selection(*compiled)


def shown(raw: bytes) -> str:
    r"""Return a path as printable text; different paths stay different.

    Bytes that are not UTF-8 become `\xff`, characters that do not print become `\n`, `\u202e` and
    the like, and a backslash becomes two.
    """
    text = raw.decode("utf-8", "surrogateescape")
    parts = []
    for character in text:
        if character == "\\":
            parts.append("\\\\")
        elif "\udc80" <= character <= "\udcff":
            parts.append(f"\\x{ord(character) - 0xDC00:02x}")
        elif character.isprintable():
            parts.append(character)
        else:
            parts.append(character.encode("unicode_escape").decode())
    return "".join(parts)


def refusal(raw: bytes, *, max_depth: int) -> str:
    """Return why a path may not become a file name here; empty when it may.

    `raw` is the path as git or the disk has it, relative to the root, `/` between its parts.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "NotUtf8"
    parts = text.split("/")
    if not text.isprintable() or "\\" in text or any(_means_something(part) for part in parts):
        return "UnsafePath"
    if len(parts) - 1 > max_depth:
        return "TooDeep"
    if len(raw) > _MAX_PATH_BYTES or any(len(p.encode()) > _MAX_NAME_BYTES for p in parts):
        return "PathTooLong"
    return ""


def _means_something(part: str) -> bool:
    # Names that git or a file system reads as more; some of these drop dots and blanks at the end.
    return part in {"", ".", ".."} or part.rstrip(" .").casefold() in {".git", "git~1"}


def is_lfs_pointer(content: bytes) -> bool:
    """Whether the content stands for a file that Git LFS keeps elsewhere."""
    return len(content) < 1024 and content.startswith(b"version https://git-lfs.github.com/spec/")
