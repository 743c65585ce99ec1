"""Divides work into portions of about one size, for processes side by side."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def portions(
    items: Iterable[_Item], *, weigh: Callable[[_Item], int], enough: int
) -> Iterator[list[_Item]]:
    """Yield `items` in their order, as lists that end with the item that makes `enough`."""
    portion: list[_Item] = []
    weight = 0
    for item in items:
        portion.append(item)
        weight += weigh(item)
        if weight >= enough:
            yield portion
            portion, weight = [], 0
    if portion:
        yield portion
