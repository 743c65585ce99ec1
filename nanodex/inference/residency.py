"""Which adapters are in the engine at once, and which one goes when another one is asked for.

vLLM's own eviction cannot be used: it reads an evicted adapter from disk in the middle of a batch,
and in the CPU build it fills the last slot, which must stay empty (see
`nanodex.api.engine_arguments`). So the agent registers no more than fit and unloads the one that
was used longest ago.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from nanodex.api.engine_arguments import Device
from nanodex.inference.engine_client import EngineClient

# A client that has just gone may leave a request in the engine's queue for a moment.
IDLE_SECONDS = 1.0


class Residency(Protocol):
    """How adapters get out of one build of the engine. Methods raise `EngineUnreachable`."""

    async def count(self, present: Mapping[str, str]) -> int:
        """How many adapters take up room."""

    async def unload(self, name: str) -> None:
        """Forget an adapter's name and make its room free."""

    async def loaded(self, name: str) -> None:
        """Take note that the engine was asked to load `name`, with success or without."""


class Registered:
    """The GPU build: a name is room enough; weights that are not named are overwritten."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    async def count(self, present: Mapping[str, str]) -> int:
        """As many as there are names."""
        return len(present)

    async def unload(self, name: str) -> None:
        """Forget the name."""
        await self._engine.unload(name)

    async def loaded(self, name: str) -> None:
        """Nothing to note."""


class ExactSlots:
    """The CPU build: every slot is accounted for by its number, or the last one would fill up."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine
        self._numbers: dict[str, int] = {}

    async def count(self, present: Mapping[str, str]) -> int:
        """As many slots as are filled, after those were freed that belong to no name of ours."""
        self._numbers = {name: n for name, n in self._numbers.items() if name in present}
        # Loaded by a process before this one: which slot it has is not known, so it starts anew.
        for name in sorted(set(present) - set(self._numbers)):
            await self._engine.unload(name)
        for number in sorted(await self._engine.slots() - set(self._numbers.values())):
            await self._engine.free_slot(number)
        return len(self._numbers)

    async def unload(self, name: str) -> None:
        """Forget the name and free its slot."""
        await self._engine.unload(name)
        number = self._numbers.pop(name, None)
        if number is not None:
            await self._engine.free_slot(number)

    async def loaded(self, name: str) -> None:
        """Find out which slot is filled that was not before."""
        new = await self._engine.slots() - set(self._numbers.values())
        if len(new) == 1:
            self._numbers[name] = next(iter(new))


def residency_of(device: Device, engine: EngineClient) -> Residency:
    """Return the way that fits the build of vLLM."""
    return ExactSlots(engine) if device == "cpu" else Registered(engine)


def least_used(
    present: Iterable[str],
    *,
    in_flight: Mapping[str, int],
    last_used: Mapping[str, float],
    kept: Collection[str],
    now: float,
) -> str | None:
    """Return the engine name whose last request is longest ago; None if all are in use.

    Args:
        present: what the engine holds.
        in_flight: requests under way, by engine name.
        last_used: when a request ended last, seconds on the clock of `now`; absent: never.
        kept: names that must stay.
        now: the time.
    """
    idle = [
        name
        for name in present
        if not in_flight.get(name, 0)
        and name not in kept
        and now - last_used.get(name, float("-inf")) >= IDLE_SECONDS
    ]
    return min(idle, key=lambda name: (last_used.get(name, float("-inf")), name), default=None)
