"""A small shop, extracted and typed by the real stages, that the tests of the dataset ask about."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nanodex.api.parameters import BrainConfig, ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.brain import build_brain
from nanodex.dataset.facts import FactCollector
from nanodex.dataset.naming import Names
from nanodex.extractor import extract
from nanodex.graph.reader import Graph, load_graph
from nanodex.source import open_folder
from tests.tokens import characters

SHOP = {
    "LICENSE": "MIT License\n\nPermission is hereby granted, free of charge, to any person\n",
    "shop/__init__.py": '"""A shop."""\n',
    "shop/errors.py": '''"""What can go wrong."""


class ShopError(Exception):
    """Base of all failures of the shop."""


class EmptyBasket(ShopError):
    """The basket holds nothing."""


class UnknownVoucher(ShopError):
    """Nobody issued the voucher."""
''',
    "shop/prices.py": '''"""Prices in cents."""

import os

from shop.errors import UnknownVoucher

STANDARD_DISCOUNT = 15
API_TOKEN = "ghp_0123456789abcdefABCDEF0123456789abcd"


def voucher_percent(code: str) -> int:
    """Return the discount of a voucher in percent. It never changes."""
    if code not in known_vouchers():
        raise UnknownVoucher("voucher was never issued")
    return STANDARD_DISCOUNT


def known_vouchers() -> tuple[str, ...]:
    """List the vouchers that the environment names."""
    return tuple(os.environ.get("SHOP_VOUCHERS", "").split(","))
''',
    "shop/basket.py": '''"""Baskets and what they cost."""

from shop.errors import EmptyBasket
from shop.prices import voucher_percent


class Basket:
    """Collects things until they are paid."""

    def __init__(self) -> None:
        self.cents: list[int] = []

    def add_item(self, cents: int) -> None:
        """Put one thing into the basket."""
        self.cents.append(cents)

    def total_cents(self, voucher: str) -> int:
        """Return the price of everything, less the voucher."""
        if not self.cents:
            raise EmptyBasket("the basket is empty")
        return sum(self.cents) * (100 - voucher_percent(voucher)) // 100


class GiftBasket(Basket):
    """A basket that is wrapped before it leaves."""

    def total_cents(self, voucher: str) -> int:
        """Return the price with the wrapping."""
        return super().total_cents(voucher) + wrapping_cents()


def wrapping_cents() -> int:
    """Return what paper and ribbon cost."""
    return 250


def checkout(basket: Basket) -> str:
    """Pay for a basket and return the receipt."""
    return f"paid {basket.total_cents('NONE')}"
''',
    "tests/test_basket.py": '''"""Tests of the basket."""

from shop.basket import Basket, checkout
from shop.prices import voucher_percent


def test_a_voucher_has_a_percentage():
    assert voucher_percent("SPRING") == 15


def test_checkout_pays():
    basket = Basket()
    basket.add_item(300)
    assert checkout(basket) == "paid 255"
''',
}

MakeBrain = Callable[[dict[str, str], Path], Path]


def make_brain(files: dict[str, str], folder: Path) -> Path:
    """Write the files, extract them, type them; return the folder of the brain."""
    source = folder / "shop"
    for path, text in files.items():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    graph = folder / "graph.sqlite"
    extract(
        open_folder(source),
        ExtractorConfig(workers=1),
        out=graph,
        cache=None,
        progress=Silent(),
    )
    build_brain(
        graph, BrainConfig(), out=folder / "brain", count_tokens=characters, progress=Silent()
    )
    return folder / "brain"


@pytest.fixture(scope="session")
def brain_of() -> MakeBrain:
    return make_brain


@pytest.fixture(scope="session")
def shop_brain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_brain(SHOP, tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def shop(shop_brain: Path) -> Graph:
    return load_graph(shop_brain / "graph.sqlite")


@pytest.fixture(scope="session")
def collector(shop: Graph, shop_brain: Path) -> FactCollector:
    from nanodex.dataset.builder import read_records

    return FactCollector(
        shop,
        names=Names(shop),
        records=read_records(shop_brain / "nodes.jsonl"),
        min_confidence=0.9,
    )
