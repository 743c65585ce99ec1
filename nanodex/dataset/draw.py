"""Choices that depend on the seed and on names alone: no generator, no order, no hash seed."""

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


class Draw:
    """Chooses by keyed hash, so that one more item changes no choice among the others."""

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(8, "big")

    def number(self, *parts: str | int) -> int:
        """Return a uniform number below 2**64 that belongs to `parts`."""
        text = "\0".join(map(str, parts)).encode()
        return int.from_bytes(hashlib.blake2b(text, key=self._key, digest_size=8).digest(), "big")

    def order(self, items: Iterable[Item], *parts: str, name: Callable[[Item], str]) -> list[Item]:
        """Return the items in an order that belongs to `parts`; `name` tells items apart."""
        return sorted(items, key=lambda item: (self.number(*parts, name(item)), name(item)))
