import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanodex.errors import UserError
from nanodex.source.selection import compile_selection, refusal, shown


@pytest.mark.parametrize(
    ("include", "exclude", "path", "taken"),
    [
        ((), (), "a/b.py", True),
        (("*.py",), (), "a/b.py", True),
        (("*.py",), (), "a/b.java", False),
        (("/src",), (), "src/a/b.py", True),
        (("/src",), (), "lib/src/b.py", False),
        (("**/*.py",), ("**/vendor/**",), "a/vendor/b.py", False),
        (("**/*.py",), ("vendor/",), "a/vendor/b.py", False),
        ((), ("*.py", "!keep.py"), "a/keep.py", True),
        (("src/", "!src/generated/"), (), "src/generated/a.py", False),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore(
    include: tuple[str, ...], exclude: tuple[str, ...], path: str, taken: bool
) -> None:
    assert compile_selection(include=include, exclude=exclude).takes(path) is taken


def test_a_pattern_that_git_would_refuse_is_named() -> None:
    with pytest.raises(UserError, match="exclude has a pattern"):
        compile_selection(include=(), exclude=("!",))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"src/a.py", ""),
        ("src/Überblick.md".encode(), ""),
        (b"with blank/a b.py", ""),
        (b"src/\xff.py", "NotUtf8"),
        (b"a\nb.py", "UnsafePath"),
        (b"\x1b[31m.py", "UnsafePath"),
        ("a\u202egnp.py".encode(), "UnsafePath"),
        (b"../a.py", "UnsafePath"),
        (b"a/../b.py", "UnsafePath"),
        (b"/etc/passwd", "UnsafePath"),
        (b"a//b", "UnsafePath"),
        (b"a\\b", "UnsafePath"),
        (b".git/config", "UnsafePath"),
        (b"a/.GIT/hooks/x", "UnsafePath"),
        (b"a/.git. /x", "UnsafePath"),
        (b".gitignore", ""),
        (b"/".join([b"d"] * 65) + b"/f", "TooDeep"),
        (b"n" * 256, "PathTooLong"),
        (b"/".join([b"n" * 250] * 5), "PathTooLong"),
    ],
)
def test_a_name_that_nobody_should_trust_is_refused_with_its_reason(
    raw: bytes, reason: str
) -> None:
    assert refusal(raw, max_depth=64) == reason


def test_a_refused_name_is_shown_without_its_effects() -> None:
    assert shown(b"a\nb\x1b[1m\xff\\") == r"a\nb\x1b[1m\xff" + "\\\\"


@given(st.binary(), st.binary())
def test_different_paths_are_shown_differently(one: bytes, other: bytes) -> None:
    assert shown(one).isprintable()
    assert (shown(one) == shown(other)) == (one == other)
