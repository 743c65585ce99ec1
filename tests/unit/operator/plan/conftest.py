"""A world to plan in: new, at its training, and served."""

from collections.abc import Callable

import pytest

# What must hold at all times is asserted there.
for name in ("promises", "world"):
    pytest.register_assert_rewrite(f"tests.unit.operator.plan.{name}")

from tests.unit.operator.plan.world import World  # noqa: E402 - rewritten from here on


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def training(world: World) -> World:
    world.run("resolve", "extract", "brain", "dataset")
    world.start("train")
    world.settle()
    return world


@pytest.fixture
def served(world: World) -> World:
    world.become_ready()
    return world
