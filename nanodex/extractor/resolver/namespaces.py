"""Packages and namespaces: which names lead to the ones that files declare."""

from collections.abc import Iterable


def with_outer(names: Iterable[str]) -> frozenset[str]:
    """Return dotted names and all that enclose them: for `a.b.c` also `a.b` and `a`."""
    return frozenset(
        ".".join(parts[: count + 1])
        for parts in (name.split(".") for name in set(names))
        for count in range(len(parts))
    )
