"""Which call means which definition, by rule, and what stays unresolved."""

from collections import Counter

import pytest


def test_a_call_through_self_finds_the_method_of_the_class_or_of_its_base(extracted):
    found = extracted(
        {
            "pkg/__init__.py": "",
            "pkg/base.py": "class Base:\n    def load(self): pass\n",
            "pkg/app.py": (
                "from .base import Base\n"
                "class App(Base):\n"
                "    def run(self):\n"
                "        self.load()\n"
                "        self.stop()\n"
                "    def stop(self): super().load()\n"
            ),
        }
    )
    calls = found.edges("calls", rules=True)
    assert {call for call in calls if call[1].startswith("pkg.")} == {
        ("pkg.app.App.run", "pkg.base.Base.load", "self, inherited"),
        ("pkg.app.App.run", "pkg.app.App.stop", "self"),
        ("pkg.app.App.stop", "pkg.base.Base.load", "super, inherited"),
    }
    assert found.edges("extends") == {("pkg.app.App", "pkg.base.Base")}


def test_a_name_is_followed_through_re_exports_and_stars(extracted):
    found = extracted(
        {
            "pkg/__init__.py": "from .api import *\nfrom .core import run as go\n",
            "pkg/api.py": "def fetch(): pass\n",
            "pkg/core.py": "def run(): pass\n",
            "main.py": "import pkg\nfrom pkg import go\ndef main():\n    pkg.fetch()\n    go()\n",
        }
    )
    assert found.callees("main.main") == {"pkg.api.fetch", "pkg.core.run"}


def test_an_outside_name_is_never_bound_to_a_namesake_of_ours(extracted):
    found = extracted(
        {
            "pkg/__init__.py": "",
            "pkg/http.py": "def get(url): pass\n",
            "pkg/app.py": (
                "from requests import get\ndef run(client):\n    get('x')\n    client.get()\n"
            ),
        }
    )
    assert found.callees("pkg.app.run") == {"requests.get"}
    unresolved = found.graph  # the parameter has no type: the call is a row, not an edge
    assert unresolved.meta["schema"] == "1"


@pytest.mark.parametrize(
    ("body", "callee"),
    [
        ("x = Tool()\n    x.use()", "m.Tool.use"),
        ("x: Tool = make()\n    x.use()", "m.Tool.use"),
        ("typed().use()", "m.Tool.use"),
        ("plain().use()", "m.Tool.use"),
        ("for x in tools():\n        x.use()", "m.Tool.use"),
        ("[x.use() for x in tools()]", "m.Tool.use"),
        ("with Tool() as x:\n        x.use()", "m.Tool.use"),
        ("with opened() as x:\n        x.use()", "m.Tool.use"),
        ("if isinstance(y, Tool):\n        y.use()", "m.Tool.use"),
        ("Tool().me().use()", "m.Tool.use"),
        ("Tool().friend.use()", "m.Tool.use"),
        ("Tool().part.use()", "m.Tool.use"),
        ("cast('Tool', y).use()", "m.Tool.use"),
        ("a, b = 1, Tool()\n    b.use()", "m.Tool.use"),
        ("(lambda: Tool().use())()", "m.Tool.use"),
        ("table()['k'].use()", "m.Tool.use"),
    ],
)
def test_a_receiver_is_known_by(extracted, body, callee):
    source = f"""
from contextlib import contextmanager
from typing import Self, cast
class Tool:
    def __init__(self):
        self.part = Tool()
    def __enter__(self) -> Self: return self
    def me(self) -> Self: return self
    @property
    def friend(self) -> "Tool | None": ...
    def use(self): pass
def make(): ...
def typed() -> Tool: ...
def plain():
    return Tool()
def tools() -> list[Tool]: ...
def table() -> dict[str, Tool]: ...
@contextmanager
def opened():
    yield Tool()
def caller(y=None):
    {body}
"""
    assert callee in extracted({"m.py": source}).callees("m.caller")


def test_the_last_assignment_before_the_call_decides(extracted):
    found = extracted(
        {
            "m.py": (
                "class A:\n    def go(self): pass\n"
                "class B:\n    def go(self): pass\n"
                "def run():\n    x = A()\n    x.go()\n    x = B()\n"
                "def either(flag):\n    x = A()\n    if flag:\n        x = B()\n    x.go()\n"
            )
        }
    )
    assert "m.A.go" in found.callees("m.run") and "m.B.go" not in found.callees("m.run")
    # Two classes are possible: neither is claimed.
    assert found.callees("m.either") == {"m.A", "m.B"}


def test_tests_overrides_raises_and_kinds_follow_from_resolved_names(extracted):
    found = extracted(
        {
            "src/shop/__init__.py": "",
            "src/shop/errors.py": "class ShopError(Exception): pass\n",
            "src/shop/cart.py": (
                "from enum import Enum\nfrom typing import Protocol\n"
                "from shop.errors import ShopError\n"
                "class Priced(Protocol):\n    def price(self): ...\n"
                "class Item(Priced):\n    def price(self):\n"
                "        if self.broken:\n            raise ShopError('broken item')\n"
                "class Size(Enum):\n    SMALL = 1\n"
            ),
            "tests/test_cart.py": (
                "from shop.cart import Item\ndef helper(): pass\n"
                "def test_price():\n    helper()\n    Item().price()\n"
            ),
        }
    )
    kinds = found.kinds()
    assert kinds["shop.errors.ShopError"] == "exception"
    assert kinds["shop.cart.Priced"] == "interface"
    assert kinds["shop.cart.Size"] == "enum"
    assert kinds["shop.cart.Size.SMALL"] == "constant"
    assert found.edges("implements") == {("shop.cart.Item", "shop.cart.Priced")}
    assert found.edges("overrides") == {("shop.cart.Item.price", "shop.cart.Priced.price")}
    assert found.edges("raises") == {("shop.cart.Item.price", "shop.errors.ShopError")}
    assert found.edges("tests") == {
        ("tests.test_cart.test_price", "shop.cart.Item"),
        ("tests.test_cart.test_price", "shop.cart.Item.price"),
    }
    (site,) = [site for sites in found.graph.raise_sites.values() for site in sites]
    assert (site.exception, site.message, site.condition) == (
        "ShopError", "broken item", "self.broken",
    )  # fmt: skip


def test_a_class_below_any_builtin_exception_is_an_exception(extracted):
    found = extracted({"m.py": "class Missing(KeyError): pass\nclass Slow(TimeoutError): pass\n"})
    assert {found.kinds()["m.Missing"], found.kinds()["m.Slow"]} == {"exception"}


def test_bytes_of_an_edge_are_the_token_that_names_its_target(extracted):
    found = extracted(
        {"m.py": "# \u00e9\nclass A:\n    def go(self): pass\ndef f(a: A):\n    a.go()\n"}
    )
    content = found.graph.content("m.py")
    tokens = Counter(
        content[edge.start_byte : edge.end_byte].decode()
        for edges in found.graph.outgoing.values()
        for edge in edges
    )
    assert tokens == {"A": 1, "go": 2, "f": 1}


def test_a_callee_under_another_name_than_its_own_is_not_taught(extracted):
    found = extracted(
        {
            "m.py": (
                "class Job:\n    def __call__(self): pass\n"
                "def maker():\n    def made(): pass\n    return made\n"
                "def run():\n    job = Job()\n    job()\n    thing = maker()\n    thing()\n"
            )
        }
    )
    names = {node.id: node.qualified_name for node in found.graph.nodes.values()}
    assert {
        names[edge.dst]: edge.conf >= 0.9
        for edges in found.graph.outgoing.values()
        for edge in edges
        if names[edge.src] == "m.run"
    } == {"m.Job": True, "m.maker": True, "m.Job.__call__": False, "m.maker.made": False}
